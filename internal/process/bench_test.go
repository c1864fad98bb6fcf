package process

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rrhost/internal/handler"
	"rrhost/internal/stream"
)

// BenchmarkEcho is the process boundary alone: a request's way into another
// process and back, 256 bytes, over TLS.
func BenchmarkEcho(b *testing.B) {
	for _, inflight := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("inflight=%d", inflight), func(b *testing.B) { benchEcho(b, inflight, 256) })
	}
}

// BenchmarkLarge is the same with larger payloads.
func BenchmarkLarge(b *testing.B) {
	for _, body := range []int{10 << 10, 1_000_000} {
		b.Run(fmt.Sprintf("body=%d", body), func(b *testing.B) { benchEcho(b, 16, body) })
	}
}

func benchEcho(b *testing.B, inflight, body int) {
	cpu := cpuTime()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p, err := Start(ctx, Config{Name: "echo", Path: echoPlugin, Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	payload := bytes.Repeat([]byte("x"), body)
	var (
		slots = make(chan struct{}, inflight)
		mu    sync.Mutex
		took  = make([]time.Duration, 0, b.N)
	)
	b.ReportAllocs()
	b.SetBytes(int64(body))
	b.ResetTimer()
	for range b.N {
		slots <- struct{}{}
		start := time.Now()
		p.Instance().Start(stream.Request{
			Handler:  "echo",
			Info:     handler.Info{RequestID: "7f3f0e3e-6f0c-4f8a-9c1e-0a6d8f2b4c11", Topic: "echo", Attempt: 1},
			Deadline: start.Add(30 * time.Second), Payload: payload,
		}, func(r stream.Result) {
			if len(r.Payload) != body {
				b.Errorf("%d bytes, %v", len(r.Payload), r.Err)
			}
			mu.Lock()
			took = append(took, time.Since(start))
			mu.Unlock()
			<-slots
		})
	}
	for range inflight {
		slots <- struct{}{}
	}
	b.StopTimer()
	_ = p.Stop(context.Background())
	// Of both processes, start and end included; it says more than the wall
	// clock where the machine has other work.
	b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/1e3/float64(b.N), "cpu-µs/op")
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-µs")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

// TestHostAllocates holds what docs/performance.md says of the host's process,
// gRPC and TLS included. What the plugin allocates is in another process.
func TestHostAllocates(t *testing.T) {
	p, _ := startPlugin(t, func(c *Config) { c.Path = echoPlugin })
	r := stream.Request{
		Handler: "echo", Info: handler.Info{RequestID: "7f3f0e3e-6f0c-4f8a-9c1e-0a6d8f2b4c11", Topic: "echo", Attempt: 1},
		Deadline: time.Now().Add(time.Hour), Payload: bytes.Repeat([]byte("x"), 256),
	}
	var waits atomic.Int32
	all := make(chan struct{}, 1)
	done := func(stream.Result) {
		if waits.Add(-1) == 0 {
			all <- struct{}{}
		}
	}
	for _, tt := range []struct {
		inFlight int
		most     float64 // a request
	}{
		{1, 15}, // a frame each way
		{64, 4}, // two, and its part of the frames': how many there are is a matter of time
	} {
		n := testing.AllocsPerRun(500, func() {
			waits.Store(int32(tt.inFlight))
			for range tt.inFlight {
				p.Instance().Start(r, done)
			}
			<-all
		}) / float64(tt.inFlight)
		t.Logf("%d in flight: %.1f allocations a request", tt.inFlight, n)
		if n > tt.most+pooled {
			t.Errorf("%d in flight: %.1f allocations a request, and docs/performance.md says %v", tt.inFlight, n, tt.most)
		}
	}
}

// cpuTime is what this process and its children that have ended have used.
func cpuTime() time.Duration {
	var sum int64
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += u.Utime.Nano() + u.Stime.Nano()
		}
	}
	return time.Duration(sum)
}
