package conformance

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"

	"rrhost/plugin/proto"
)

// A wire is what went over the connection with one process: the frames as they
// are, of which the host's end of the stream forgives much.
type wire struct {
	sending sync.Mutex // one message at a time, and none after closing

	mu      sync.Mutex // guards all below
	conn    *grpc.ClientConn
	called  map[string]bool // methods that the host has called
	about   *proto.DescribeResponse
	stream  grpc.ClientStream
	results map[uint64][]*proto.Result
	goodbye *proto.Goodbye
	ended   error // why the stream is over; io.EOF: in order
}

func newWire() *wire {
	return &wire{called: make(map[string]bool), results: make(map[uint64][]*proto.Result)}
}

// outgoing notes a call of the host's.
func (w *wire) outgoing(method string, conn *grpc.ClientConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn, w.called[method] = conn, true
}

// options make a connection's calls pass by w.
func (w *wire) options() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			w.outgoing(method, conn)
			err := call(ctx, method, req, reply, conn, opts...)
			if about, ok := reply.(*proto.DescribeResponse); ok && err == nil {
				w.mu.Lock()
				w.about = about
				w.mu.Unlock()
			}
			return err
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			w.outgoing(method, conn)
			s, err := open(ctx, desc, conn, method, opts...)
			if err != nil || method != proto.Handler_Handle_FullMethodName {
				return s, err
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.stream = s
			return &watched{s, w}, nil
		}),
	}
}

// watched is the host's stream.
type watched struct {
	grpc.ClientStream
	wire *wire
}

func (s *watched) SendMsg(m any) error {
	s.wire.sending.Lock()
	defer s.wire.sending.Unlock()
	return s.ClientStream.SendMsg(m)
}

func (s *watched) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	w := s.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.ended = err
		return err
	}
	frame := m.(*proto.ResultFrame)
	for _, r := range frame.GetResults() {
		w.results[r.GetNumber()] = append(w.results[r.GetNumber()], r)
	}
	if frame.Goodbye != nil && w.goodbye == nil {
		w.goodbye = frame.Goodbye
	}
	return nil
}

// send puts a frame of the case's own on the stream.
func (w *wire) send(frame *proto.RequestFrame) error {
	w.sending.Lock()
	defer w.sending.Unlock()
	return w.stream.SendMsg(frame)
}

// close ends the host's side of the stream.
func (w *wire) close() error {
	w.sending.Lock()
	defer w.sending.Unlock()
	return w.stream.CloseSend()
}

// reached tells whether the host got as far as calling method.
func (w *wire) reached(method string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.called[method]
}

func (w *wire) description() *proto.DescribeResponse {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.about
}

// end is the goodbye, nil if there was none, and why the stream is over, nil if it
// is not.
func (w *wire) end() (*proto.Goodbye, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.goodbye, w.ended
}

// result is the first of a request.
func (w *wire) result(number uint64) *proto.Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	if list := w.results[number]; len(list) > 0 {
		return list[0]
	}
	return nil
}

// exactlyOne checks that each number up to last has one result, but for those
// above a goodbye's, which have none.
func (w *wire) exactlyOne(last uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	took := last
	if w.goodbye != nil {
		took = min(took, w.goodbye.GetLast())
	}
	for n := uint64(1); n <= took; n++ {
		if got := len(w.results[n]); got != 1 {
			return fmt.Errorf("request number %d got %d results", n, got)
		}
	}
	for n := range w.results {
		if n == 0 || n > took {
			return fmt.Errorf("a result came for the number %d, which is of no request that was taken", n)
		}
	}
	return nil
}
