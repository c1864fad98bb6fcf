package envelope

import (
	"fmt"
	"testing"
)

func TestHotPathAllocates(t *testing.T) {
	ring := mustRing(t, mustKey(t))
	request := sampleRequest()
	about := request.AppendAbout(nil)
	plain := make([]byte, 256)
	sealed := ring.Seal(nil, plain, about)
	dst := make([]byte, 0, len(sealed))
	opened := func() {
		if _, err := ring.Open(dst, sealed, about); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(1000, func() { ring.Seal(dst, plain, about) }); n > allocsAllowed {
		t.Errorf("Seal allocates %v times", n)
	}
	if n := testing.AllocsPerRun(1000, opened); n > allocsAllowed {
		t.Errorf("Open allocates %v times", n)
	}
}

var bodies = []int{0, 256, 4 << 10, 64 << 10, 1 << 20}

func BenchmarkSeal(b *testing.B) {
	ring := mustRing(b, mustKey(b))
	request := sampleRequest()
	about := request.AppendAbout(nil)
	for _, size := range bodies {
		b.Run(fmt.Sprintf("body=%d", size), func(b *testing.B) {
			plain := make([]byte, size)
			dst := make([]byte, 0, size+Overhead)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				ring.Seal(dst, plain, about)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	ring := mustRing(b, mustKey(b))
	request := sampleRequest()
	about := request.AppendAbout(nil)
	for _, size := range bodies {
		b.Run(fmt.Sprintf("body=%d", size), func(b *testing.B) {
			sealed := ring.Seal(nil, make([]byte, size), about)
			dst := make([]byte, 0, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ring.Open(dst, sealed, about); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpenForged is what a made-up salt costs a receiver: a derivation.
func BenchmarkOpenForged(b *testing.B) {
	for _, size := range []int{256} {
		b.Run(fmt.Sprintf("body=%d", size), func(b *testing.B) {
			ring := mustRing(b, mustKey(b))
			sealed := ring.Seal(nil, make([]byte, size), nil)
			sealed[saltAt] ^= 1
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ring.Open(nil, sealed, nil); err == nil {
					b.Fatal("a forgery opened")
				}
			}
		})
	}
}

// BenchmarkParallel is what many goroutines of one process do: each seals and
// opens, with few senders.
func BenchmarkParallel(b *testing.B) {
	for _, size := range []int{256} {
		b.Run(fmt.Sprintf("body=%d", size), func(b *testing.B) {
			ring := mustRing(b, mustKey(b))
			plain := make([]byte, size)
			b.RunParallel(func(pb *testing.PB) {
				sealed := make([]byte, 0, size+Overhead)
				opened := make([]byte, 0, size)
				for pb.Next() {
					if _, err := ring.Open(opened, ring.Seal(sealed, plain, nil), nil); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
