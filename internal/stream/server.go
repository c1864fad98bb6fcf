package stream

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"rrhost/internal/handler"
	"rrhost/plugin/proto"
)

// A Server is the plugin's end: it answers Describe and Configure, and runs the
// requests of the stream, each in a goroutine of its own.
type Server struct {
	proto.UnimplementedHandlerServer

	about     About
	handlers  map[string]handler.Handler
	names     []string
	configure func(settings []byte) error
	logger    hclog.Logger

	mu       sync.Mutex
	maxReply int
	open     *session // nil before Handle
	leaving  bool
}

// NewServer serves handlers, whose names must differ. configure takes the
// plugin's settings as JSON; its error refuses them.
func NewServer(about About, handlers []handler.Handler, configure func(settings []byte) error, logger hclog.Logger) (*Server, error) {
	s := &Server{about: about, handlers: make(map[string]handler.Handler), configure: configure, logger: logger}
	if len(handlers) == 0 {
		return nil, errors.New("a plugin has at least one handler")
	}
	for _, h := range handlers {
		if err := handler.CheckName(h.Name()); err != nil {
			return nil, err
		}
		if _, twice := s.handlers[h.Name()]; twice {
			return nil, errors.New("two handlers are named " + h.Name())
		}
		s.handlers[h.Name()] = h
		s.names = append(s.names, h.Name())
		s.about.Handlers = append(s.about.Handlers, HandlerInfo{
			Name: h.Name(), RequestSchema: h.RequestSchema(), ResponseSchema: h.ResponseSchema(),
			ChecksPayload: h.ChecksPayload(),
		})
	}
	return s, nil
}

// Describe answers with what the plugin is.
func (s *Server) Describe(context.Context, *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	resp := &proto.DescribeResponse{Name: s.about.Name, Version: s.about.Version, Sdk: s.about.SDK, ConfigSchema: s.about.ConfigSchema}
	for _, h := range s.about.Handlers {
		resp.Handlers = append(resp.Handlers, &proto.HandlerInfo{
			Name: h.Name, RequestSchema: h.RequestSchema, ResponseSchema: h.ResponseSchema,
			ChecksPayload: h.ChecksPayload,
		})
	}
	return resp, nil
}

// Configure hands the settings to the author's function.
func (s *Server) Configure(_ context.Context, req *proto.ConfigureRequest) (*proto.ConfigureResponse, error) {
	if err := s.configure(req.GetSettings()); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	s.mu.Lock()
	s.maxReply = int(req.GetMaxReply())
	s.mu.Unlock()
	return &proto.ConfigureResponse{}, nil
}

// Handle runs the stream's requests until the host closes it, the connection
// ends, or [Server.Leave] was called. It returns when all handlers have.
func (s *Server) Handle(conn proto.Handler_HandleServer) error {
	ctx, cancel := context.WithCancel(conn.Context())
	defer cancel()
	ses := &session{
		server: s, ctx: ctx,
		running: make(map[uint64]context.CancelFunc),
		wake:    make(chan struct{}, 1), quit: make(chan struct{}), left: make(chan struct{}),
		done: make(chan struct{}),
		idle: make(chan taken),
	}
	s.mu.Lock()
	if s.open != nil || s.leaving {
		s.mu.Unlock()
		return status.Error(codes.FailedPrecondition, "one stream at a time, and none after a goodbye")
	}
	s.open = ses
	ses.maxReply = s.maxReply
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.open = nil
		s.mu.Unlock()
		close(ses.done)
	}()
	return ses.run(conn)
}

// Leave makes the stream say goodbye: requests that run are finished, no more
// are taken, then Handle returns and the channel is closed. It is nil if there
// is no stream.
func (s *Server) Leave() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = true
	if s.open == nil {
		return nil
	}
	s.open.leave()
	return s.open.done
}

// taken is a request that was accepted, with its context.
type taken struct {
	ctx context.Context
	*proto.Request
}

// A session is one Handle call.
type session struct {
	server   *Server
	ctx      context.Context // of the stream; requests' contexts come from it
	maxReply int
	handlers sync.WaitGroup

	mu      sync.Mutex
	running map[uint64]context.CancelFunc
	results []*proto.Result
	last    uint64
	leaving bool
	bye     bool // a goodbye is to go out

	idle chan taken // to a goroutine that has finished its request
	wake chan struct{}
	quit chan struct{} // closed when all results are queued
	left chan struct{} // closed by leave
	done chan struct{} // closed when Handle returns
}

func (s *session) run(conn proto.Handler_HandleServer) error {
	received := make(chan error, 1)
	go func() { received <- s.read(conn) }() // ends with the stream, at the latest when run returns
	written := make(chan struct{})
	go func() { defer close(written); s.write(conn) }()

	var err error
	select {
	case err = <-received:
		if !errors.Is(err, io.EOF) {
			s.abort()
		}
	case <-s.left:
	}
	s.handlers.Wait()
	close(s.quit)
	<-written
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// read takes requests until the host has no more.
func (s *session) read(conn proto.Handler_HandleServer) error {
	defer close(s.idle)
	for {
		frame, err := conn.Recv()
		if err != nil {
			return err
		}
		s.take(frame)
	}
}

// take starts the requests of a frame. All of it happens under the lock, so
// that leave knows exactly which requests were taken.
func (s *session) take(frame *proto.RequestFrame) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range frame.Requests {
		if s.leaving {
			return
		}
		ctx, cancel := context.WithDeadline(s.ctx, now.Add(timeout(r.TimeoutUs)))
		s.running[r.Number] = cancel
		s.last = max(s.last, r.Number)
		s.handlers.Add(1)
		select {
		case s.idle <- taken{ctx, r}:
		default:
			go s.work(taken{ctx, r})
		}
	}
	for _, number := range frame.Cancels {
		if cancel := s.running[number]; cancel != nil {
			cancel()
		}
	}
}

// timeout is bounded, so that no number of microseconds overflows.
func timeout(us uint64) time.Duration {
	const longest = 365 * 24 * time.Hour
	return time.Duration(min(us, uint64(longest/time.Microsecond))) * time.Microsecond
}

// work handles t, and then what take has for it. There are as many of these
// goroutines as requests ran at once at most: a new one for each would have to
// grow its stack each time. The reader's end ends them.
func (s *session) work(t taken) {
	for ok := true; ok; t, ok = <-s.idle {
		s.handle(t)
	}
}

// handle runs one request and queues its result, also that of a handler that
// ends its goroutine.
func (s *session) handle(r taken) {
	var (
		res   handler.Result
		ended bool
	)
	defer func() {
		if !ended {
			res.Err = handler.Abandoned()
		}
		s.finish(r.Number, res)
		s.handlers.Done()
	}()
	h, ok := s.server.handlers[r.Handler]
	if !ok {
		res.Err, ended = handler.NoHandler(r.Handler, s.server.names), true
		return
	}
	res = h.Run(r.ctx, handler.Info{
		RequestID: r.RequestId, Topic: r.Topic, Handler: r.Handler,
		Attempt: int(r.Attempt), Redelivered: r.Redelivered,
		Traceparent: r.Traceparent, Tracestate: r.Tracestate,
	}, s.server.logger, r.Payload, s.maxReply)
	ended = true
}

func (s *session) finish(number uint64, res handler.Result) {
	m := &proto.Result{Number: number, Payload: res.Payload, DurationUs: uint64(res.Duration.Microseconds())}
	if e := res.Err; e != nil {
		m.Payload = nil
		m.Error = &proto.Error{Status: e.Status, Code: e.Code, Message: e.Message, Details: e.Details}
	}
	s.mu.Lock()
	if cancel := s.running[number]; cancel != nil {
		cancel()
		delete(s.running, number)
	}
	first := len(s.results) == 0
	s.results = append(s.results, m)
	s.mu.Unlock()
	if first {
		s.signal()
	}
}

func (s *session) signal() {
	select {
	case s.wake <- struct{}{}:
	default: // the writer has yet to look
	}
}

// leave stops the intake and wakes the writer to say so.
func (s *session) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving {
		return
	}
	s.leaving, s.bye = true, true
	s.signal()
	close(s.left)
}

// abort is for a host that is gone: nobody waits for the results.
func (s *session) abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = true
	for _, cancel := range s.running {
		cancel()
	}
}

// write sends the results that wait, until quit is closed and none is left.
func (s *session) write(conn proto.Handler_HandleServer) {
	var results []*proto.Result
	for quit := s.quit; ; {
		select {
		case <-s.wake:
		case <-quit:
			quit = nil // one last look, then return
		}
		for {
			// The first result of a frame wakes this goroutine. Let those that are as
			// good as ready come along: a fifth more requests at 64 in flight, and
			// nobody to wait for where one is alone (BenchmarkBoundary).
			runtime.Gosched()
			s.mu.Lock()
			clear(results)
			results, s.results = s.results, results[:0]
			var goodbye *proto.Goodbye
			if s.bye {
				goodbye = &proto.Goodbye{Last: s.last}
				s.bye = false
			}
			s.mu.Unlock()
			if len(results) == 0 && goodbye == nil {
				break
			}
			for rest := results; len(rest) > 0 || goodbye != nil; {
				n := fittingResults(rest)
				if conn.Send(&proto.ResultFrame{Results: rest[:n], Goodbye: goodbye}) != nil {
					return // the connection is gone
				}
				rest, goodbye = rest[n:], nil
			}
		}
		if quit == nil {
			return
		}
	}
}

// fittingResults is how many of results one frame takes.
func fittingResults(results []*proto.Result) int {
	size := 0
	for n, r := range results {
		size += len(r.Payload) + itemOverhead
		if e := r.Error; e != nil {
			size += len(e.Message) + len(e.Details) + len(e.Code)
		}
		if n == maxFrameItems || n > 0 && size > maxFrameBytes {
			return n
		}
	}
	return len(results)
}
