package stream

import (
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/encoding"

	"rrhost/internal/handler"
	"rrhost/plugin/proto"
)

// A mirror is a stream without gRPC: each frame of requests comes back as one of
// results. It allocates nothing, so that what is counted is Instance's own.
type mirror struct {
	proto.Handler_HandleClient
	free, full chan *proto.ResultFrame
	hungUp     chan struct{}
	last       *proto.ResultFrame // that Recv gave away; it is the reader's until the next call
}

func newMirror() *mirror {
	m := &mirror{
		free: make(chan *proto.ResultFrame, 2), full: make(chan *proto.ResultFrame, 2), hungUp: make(chan struct{}),
	}
	for range cap(m.free) {
		f := new(proto.ResultFrame)
		for range maxFrameItems {
			f.Results = append(f.Results, new(proto.Result))
		}
		m.free <- f
	}
	return m
}

func (m *mirror) Send(f *proto.RequestFrame) error {
	var back *proto.ResultFrame
	select {
	case back = <-m.free:
	case <-m.hungUp:
		return io.EOF
	}
	back.Results = back.Results[:len(f.Requests)]
	for n, r := range f.Requests {
		back.Results[n].Number, back.Results[n].Payload = r.Number, r.Payload
	}
	m.full <- back
	return nil
}

func (m *mirror) Recv() (*proto.ResultFrame, error) {
	if m.last != nil {
		m.free <- m.last
		m.last = nil
	}
	select {
	case m.last = <-m.full:
		return m.last, nil
	case <-m.hungUp:
		return nil, io.EOF
	}
}

// reflected starts an instance whose requests come back from a mirror. ask sends
// as many at once, and waits for their results.
func reflected(t testing.TB) (ask func(atOnce int)) {
	t.Helper()
	i, m := NewInstance(About{}, maxPayload), newMirror()
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		_ = i.Run(m)
	}()
	t.Cleanup(func() {
		close(m.hungUp)
		<-ran
	})
	var waits atomic.Int32
	all := make(chan struct{}, 1)
	done := func(Result) {
		if waits.Add(-1) == 0 {
			all <- struct{}{}
		}
	}
	r := Request{
		Handler: "echo", Info: handler.Info{RequestID: benchID, Topic: "echo", Attempt: 1},
		Deadline: time.Now().Add(time.Hour), Payload: make([]byte, benchPayload),
	}
	return func(atOnce int) {
		waits.Store(int32(atOnce))
		for range atOnce {
			i.Start(r, done)
		}
		<-all
	}
}

const (
	benchID      = "7f3f0e3e-6f0c-4f8a-9c1e-0a6d8f2b4c11"
	benchPayload = 256
)

// frames are n requests as they leave, and n results as they are read.
func frames(n int) (requests *proto.RequestFrame, results *proto.ResultFrame) {
	requests, results = new(proto.RequestFrame), new(proto.ResultFrame)
	for k := range n {
		requests.Requests = append(requests.Requests, &proto.Request{
			Number: uint64(k + 1), Handler: "echo", Payload: make([]byte, benchPayload), TimeoutUs: 30_000_000,
			RequestId: benchID, Topic: "echo", Attempt: 1,
		})
		results.Results = append(results.Results, &proto.Result{
			Number: uint64(k + 1), Payload: make([]byte, benchPayload), DurationUs: 10,
		})
	}
	return requests, results
}

// coded are the two things that the host does with gRPC's codec, for frames of n.
func coded(t testing.TB, n int) (encode, decode func()) {
	t.Helper()
	codec := encoding.GetCodecV2("proto")
	requests, results := frames(n)
	bytes, err := codec.Marshal(results)
	if err != nil {
		t.Fatal(err)
	}
	encode = func() {
		out, err := codec.Marshal(requests)
		if err != nil {
			t.Fatal(err)
		}
		out.Free()
	}
	decode = func() {
		in := new(proto.ResultFrame) // as Recv does
		if err := codec.Unmarshal(bytes, in); err != nil || len(in.Results) != n {
			t.Fatal(err, len(in.Results))
		}
	}
	return encode, decode
}

// TestHostAllocates holds what docs/performance.md says of the host's end, for a
// request or for a frame.
func TestHostAllocates(t *testing.T) {
	ask := reflected(t)
	encode1, decode1 := coded(t, 1)
	encode64, decode64 := coded(t, 64)
	for _, tt := range []struct {
		name string
		most float64
		f    func()
	}{
		{"1 request, from Start to its result", 0, func() { ask(1) }},
		{"64 requests, from Start to their results", 0, func() { ask(64) }},
		{"a frame of 1 request, encoded", 3, encode1},
		{"a frame of 64 requests, encoded", 1, encode64},
		{"a frame of 1 result, decoded", 4, decode1},
		{"a frame of 64 results, decoded", 136, decode64},
	} {
		n := testing.AllocsPerRun(200, tt.f)
		t.Logf("%s: %v allocations", tt.name, n)
		if n > tt.most+pooled {
			t.Errorf("%s: %v allocations, and docs/performance.md says %v", tt.name, n, tt.most)
		}
	}
}

// BenchmarkStart is Instance without gRPC: what is started at once comes back.
func BenchmarkStart(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("requests=%d", n), func(b *testing.B) {
			ask := reflected(b)
			b.ReportAllocs()
			for b.Loop() {
				ask(n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/request")
		})
	}
}

// BenchmarkCodec is gRPC's codec on the frames that the host writes and reads.
func BenchmarkCodec(b *testing.B) {
	for _, n := range []int{1, 64} {
		encode, decode := coded(b, n)
		for _, way := range []struct {
			name string
			f    func()
		}{{"requests", encode}, {"results", decode}} {
			b.Run(fmt.Sprintf("%s=%d", way.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					way.f()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/request")
			})
		}
	}
}
