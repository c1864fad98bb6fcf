package wire

import (
	"fmt"
	"testing"
)

// TestHotPathAllocates holds the number of allocations for each record.
func TestHotPathAllocates(t *testing.T) {
	requestIn, replyIn := requestRecord(requestPairs), replyRecord(replyPairs)
	request, err := DecodeRequest(requestIn)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := DecodeReply(replyIn)
	if err != nil {
		t.Fatal(err)
	}
	about := make([]byte, 0, 1024)
	for name, tt := range map[string]struct {
		most float64
		f    func()
	}{
		"DecodeRequest":       {1, func() { DecodeRequest(requestIn) }},   // the text
		"DecodeReply":         {1, func() { DecodeReply(replyIn) }},       // the text
		"Request.Headers":     {2, func() { request.Headers() }},          // list and text
		"Reply.Headers":       {2, func() { reply.Headers() }},            // list and text
		"Request.AppendAbout": {0, func() { request.AppendAbout(about) }}, //
		"Reply.AppendAbout":   {0, func() { reply.AppendAbout(about) }},   //
		"RequestIDOf":         {0, func() { RequestIDOf(replyIn.Headers) }},
		"IsPing":              {0, func() { IsPing(requestIn.Headers) }},
	} {
		if n := testing.AllocsPerRun(500, tt.f); n > tt.most {
			t.Errorf("%s allocates %v times, want %v at most", name, n, tt.most)
		}
	}
}

// strangers is how many headers of others a record has, beside ours.
var strangers = []int{0, 16}

func BenchmarkDecodeRequest(b *testing.B) {
	for _, n := range strangers {
		b.Run(fmt.Sprintf("strangers=%d", n), func(b *testing.B) {
			m := requestRecord(append(make([]pair, n), requestPairs...))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeRequest(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeReply(b *testing.B) {
	for _, n := range strangers {
		b.Run(fmt.Sprintf("strangers=%d", n), func(b *testing.B) {
			m := replyRecord(append(make([]pair, n), replyPairs...))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeReply(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRequestIDOf is what a reply to somebody else costs.
func BenchmarkRequestIDOf(b *testing.B) {
	m := replyRecord(replyPairs)
	for b.Loop() {
		RequestIDOf(m.Headers)
	}
}

func BenchmarkHeaders(b *testing.B) {
	request, err := DecodeRequest(requestRecord(requestPairs))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		request.Headers()
	}
}

func BenchmarkAppendAbout(b *testing.B) {
	request, err := DecodeRequest(requestRecord(requestPairs))
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		request.AppendAbout(dst)
	}
}

func BenchmarkPartition(b *testing.B) {
	for _, size := range []int{8, 64} {
		b.Run(fmt.Sprintf("key=%d", size), func(b *testing.B) {
			key := make([]byte, size)
			for b.Loop() {
				Partition(key, 16)
			}
		})
	}
}
