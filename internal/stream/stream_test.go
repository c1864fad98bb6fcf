package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"rrhost/internal/handler"
	"rrhost/plugin/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const maxPayload = 1_000_000

// ends are both ends of a stream over a unix socket, in one process.
type ends struct {
	*Instance
	hangUp context.CancelFunc // ends the stream from the host's side
	over   chan error         // Run's result
}

// connect brings a plugin's end to a host's.
func connect(t testing.TB, server proto.HandlerServer) *ends {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	gs := grpc.NewServer(append(ServerOptions(MaxMessage(maxPayload), "t0ken"), grpc.WaitForHandlers(true))...)
	proto.RegisterHandlerServer(gs, server)
	served := make(chan error, 1)
	go func() { served <- gs.Serve(l) }()
	conn, err := grpc.NewClient("unix://"+l.Addr().String(),
		append(DialOptions(MaxMessage(maxPayload), "t0ken"), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, err := proto.NewHandlerClient(conn).Handle(ctx)
	if err != nil {
		t.Fatal(err)
	}
	e := &ends{Instance: NewInstance(About{}, maxPayload), hangUp: cancel, over: make(chan error, 1)}
	ran := make(chan struct{})
	go func() { defer close(ran); e.over <- e.Run(s) }()
	t.Cleanup(func() {
		cancel()
		<-ran
		_ = conn.Close()
		gs.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return e
}

func serverOf(t testing.TB, handlers ...handler.Handler) *Server {
	t.Helper()
	s, err := NewServer(About{}, handlers, func([]byte) error { return nil }, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var echo = handler.NewRaw("echo", func(_ context.Context, p []byte) ([]byte, error) { return p, nil })

// blocked waits for its context, or for the gate to open.
func blocked(gate <-chan struct{}, started chan<- string) handler.Handler {
	return handler.NewRaw("blocked", func(ctx context.Context, p []byte) ([]byte, error) {
		started <- string(p)
		select {
		case <-gate:
			return p, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
}

func (e *ends) ask(name, payload string) (uint64, <-chan Result) {
	results := make(chan Result, 2) // a second one would be a fault
	n := e.Start(Request{Handler: name, Deadline: time.Now().Add(time.Minute), Payload: []byte(payload)}, func(r Result) { results <- r })
	return n, results
}

func TestFramesHoldWhatFits(t *testing.T) {
	sizes := func(n ...int) (queue []queued, results []*proto.Result) {
		for _, size := range n {
			p := make([]byte, size)
			queue = append(queue, queued{Request: Request{Payload: p}})
			results = append(results, &proto.Result{Payload: p})
		}
		return queue, results
	}
	many := make([]int, 300)
	tests := []struct {
		name string
		in   []int
		want int
	}{
		{"one", []int{10}, 1},
		{"all", []int{10, 20, 30}, 3},
		{"a large one alone", []int{1_000_000, 10}, 1},
		{"before a large one", []int{10, 1_000_000}, 1},
		{"as many as go", []int{200_000, 50_000, 50_000}, 2},
		{"count", many, maxFrameItems},
	}
	for _, tt := range tests {
		queue, results := sizes(tt.in...)
		if n, _ := fillRequests(new(proto.RequestFrame), nil, queue); n != tt.want {
			t.Errorf("%s: %d requests, want %d", tt.name, n, tt.want)
		}
		if n := fittingResults(results); n != tt.want {
			t.Errorf("%s: %d results, want %d", tt.name, n, tt.want)
		}
	}
}

func TestHostHangsUp(t *testing.T) {
	started := make(chan string, 10)
	e := connect(t, serverOf(t, blocked(nil, started)))
	_, running := e.ask("blocked", "a")
	<-started
	e.hangUp()
	if res := <-running; !res.Crashed || res.NotStarted {
		t.Errorf("%+v", res)
	}
	if err := <-e.over; err == nil || errors.Is(err, ErrEnded) {
		t.Errorf("Run = %v", err)
	}
	// The handler's context has ended, or else Cleanup would wait for it.
}

func TestGoodbye(t *testing.T) {
	gate, started := make(chan struct{}), make(chan string, 10)
	s := serverOf(t, blocked(gate, started), echo)
	if s.Leave() != nil {
		t.Error("Leave knows a stream before there is one")
	}
	s = serverOf(t, blocked(gate, started), echo)
	e := connect(t, s)
	_, running := e.ask("blocked", "a")
	<-started
	left := s.Leave()
	if s.Leave() == nil {
		t.Error("Leave forgot the stream")
	}
	var late []<-chan Result
	for range 100 {
		_, r := e.ask("echo", "late")
		late = append(late, r)
	}
	close(gate)
	if res := <-running; res.Err != nil || string(res.Payload) != "a" {
		t.Errorf("what ran: %+v", res)
	}
	<-left
	if err := <-e.over; !errors.Is(err, ErrEnded) {
		t.Errorf("Run = %v", err)
	}
	for _, r := range late {
		if res := <-r; !res.Crashed || !res.NotStarted {
			t.Errorf("after the goodbye: %+v", res)
		}
	}
}

func TestOneStreamAtATime(t *testing.T) {
	s := serverOf(t, echo)
	e := connect(t, s)
	_, r := e.ask("echo", "1")
	<-r
	other := connect(t, s)
	if err := <-other.over; err == nil || errors.Is(err, ErrEnded) {
		t.Errorf("the same server took a second stream: %v", err)
	}
}

func TestServerRefusesHandlers(t *testing.T) {
	for _, handlers := range [][]handler.Handler{nil, {echo, echo}, {{}}} {
		if _, err := NewServer(About{}, handlers, nil, nil); err == nil {
			t.Errorf("%v are served", handlers)
		}
	}
}

// hostile is a plugin that says what the test wants.
type hostile struct {
	proto.UnimplementedHandlerServer
	say func(proto.Handler_HandleServer) error
}

func (h *hostile) Handle(s proto.Handler_HandleServer) error { return h.say(s) }

func TestHostileResults(t *testing.T) {
	e := connect(t, &hostile{say: func(s proto.Handler_HandleServer) error {
		frame, err := s.Recv()
		if err != nil {
			return err
		}
		n := frame.Requests[0].Number
		return errors.Join(
			s.Send(&proto.ResultFrame{}),
			s.Send(&proto.ResultFrame{Results: []*proto.Result{
				{Number: 999}, {Number: 0}, // nobody's
				{Number: n, Error: &proto.Error{Status: "ok", Code: strings.Repeat("c", 1000), Details: []byte("{")}, DurationUs: 1 << 63},
				{Number: n, Payload: []byte("again")},
			}}),
			s.Send(&proto.ResultFrame{Results: []*proto.Result{{Number: n, Payload: []byte("and again")}}}),
		)
	}})
	_, results := e.ask("echo", "x")
	res := <-results
	if res.Err == nil || res.Err.Status != handler.StatusHandlerError || len(res.Err.Code) > 128 || res.Err.Details != nil || res.Duration > maxDuration {
		t.Errorf("%+v, %+v", res, res.Err)
	}
	<-e.over
	select {
	case res := <-results:
		t.Errorf("a second result: %+v", res)
	default:
	}
}

// A request may take a day, and that is what its reply tells.
func TestDurationOfALongRequest(t *testing.T) {
	for took, want := range map[uint64]time.Duration{
		0:                                      0,
		1500:                                   1500 * time.Microsecond,
		uint64((5 * time.Hour).Microseconds()): 5 * time.Hour,
		1 << 63:                                maxDuration,
	} {
		if got := resultOf(&proto.Result{DurationUs: took}, 0).Duration; got != want {
			t.Errorf("%d µs became %s, want %s", took, got, want)
		}
	}
}

func TestOversizedResults(t *testing.T) {
	e := connect(t, &hostile{say: func(s proto.Handler_HandleServer) error {
		frame, err := s.Recv()
		if err != nil {
			return err
		}
		if err := s.Send(&proto.ResultFrame{Results: []*proto.Result{{Number: frame.Requests[0].Number, Payload: make([]byte, maxPayload+1)}}}); err != nil {
			return err
		}
		if _, err = s.Recv(); err != nil {
			return err
		}
		// Above what the connection takes: the server's own limit is off here.
		return s.Send(&proto.ResultFrame{Results: []*proto.Result{{Number: 2, Payload: make([]byte, 2*MaxMessage(maxPayload))}}})
	}})
	_, results := e.ask("echo", "x")
	if res := <-results; res.Err == nil || res.Err.Status != handler.StatusReplyTooLarge {
		t.Errorf("%+v", res)
	}
	_, results = e.ask("echo", "x")
	if res := <-results; !res.Crashed {
		t.Errorf("%+v", res)
	}
}

func TestRequestArrivesWhole(t *testing.T) {
	want := handler.Info{RequestID: "id", Topic: "t", Handler: "info", Attempt: 3, Redelivered: true, Traceparent: "p", Tracestate: "s"}
	e := connect(t, serverOf(t, handler.New("info", func(ctx context.Context, _ any) (handler.Info, error) {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > time.Minute || time.Until(deadline) < 50*time.Second {
			return handler.Info{}, fmt.Errorf("deadline %v", deadline)
		}
		info, _ := handler.InfoFrom(ctx)
		return info, nil
	})))
	results := make(chan Result, 1)
	e.Start(Request{Handler: "info", Info: want, Deadline: time.Now().Add(time.Minute), Payload: []byte("1")}, func(r Result) { results <- r })
	res := <-results
	var got handler.Info
	if err := json.Unmarshal(res.Payload, &got); err != nil || got != want {
		t.Errorf("got %+v, %v, %v", got, err, res.Err)
	}
}

// TestStartsAndEndRace: whatever the moment of the end, each request is told
// once.
func TestStartsAndEndRace(t *testing.T) {
	for range 20 {
		e := connect(t, serverOf(t, echo))
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				for range 200 {
					wait.Add(1)
					told := false
					n := e.Start(Request{Handler: "echo", Deadline: time.Now().Add(time.Minute)}, func(Result) {
						if told {
							t.Error("told twice")
						}
						told = true
						wait.Done()
					})
					e.Cancel(n)
				}
			})
		}
		e.hangUp()
		wait.Wait()
	}
}

// BenchmarkEcho is both ends in one process, without TLS: for profiles.
func BenchmarkEcho(b *testing.B) {
	for _, inflight := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("inflight=%d", inflight), func(b *testing.B) {
			e := connect(b, serverOf(b, echo))
			payload, slots := make([]byte, 256), make(chan struct{}, inflight)
			b.ReportAllocs()
			for b.Loop() {
				slots <- struct{}{}
				e.Start(Request{
					Handler: "echo", Info: handler.Info{RequestID: "7f3f0e3e-6f0c-4f8a-9c1e-0a6d8f2b4c11", Topic: "echo", Attempt: 1},
					Deadline: time.Now().Add(time.Minute), Payload: payload,
				}, func(Result) { <-slots })
			}
			for range inflight {
				slots <- struct{}{}
			}
		})
	}
}

// A cut is a stream that breaks at the first frame.
type cut struct {
	proto.Handler_HandleClient
	gone chan struct{}
}

func (c *cut) Send(*proto.RequestFrame) error {
	close(c.gone)
	return io.EOF
}

func (c *cut) Recv() (*proto.ResultFrame, error) {
	<-c.gone
	return nil, io.EOF
}

// Of what waits when the stream breaks, only the frame under way may have been
// running.
func TestBrokenWithSeveralFramesWaiting(t *testing.T) {
	i := NewInstance(About{}, 0)
	var started, not int
	for range 3 * maxFrameItems {
		i.Start(Request{Handler: "echo", Deadline: time.Now().Add(time.Minute)}, func(r Result) {
			if !r.Crashed {
				t.Errorf("%+v", r)
			}
			if r.NotStarted {
				not++
			} else {
				started++
			}
		})
	}
	if err := i.Run(&cut{gone: make(chan struct{})}); err == nil {
		t.Error("the stream ended well")
	}
	if started != maxFrameItems || not != 2*maxFrameItems || i.Lost() != started {
		t.Errorf("%d may have been running, and %d not; want the %d of the first frame. Lost is %d", started, not, maxFrameItems, i.Lost())
	}
}
