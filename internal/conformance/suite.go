package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"

	"rrhost/internal/handler"
	"rrhost/internal/process"
	"rrhost/internal/stream"
)

// patience is how long a case waits for what must come soon. It is that long for
// interpreters that start on a busy machine.
const patience = 20 * time.Second

// moment is the deadline of requests that mean nothing, to handlers of which nothing
// is known: some wait for something until it comes.
const moment = 300 * time.Millisecond

// A suite is one run of all cases.
type suite struct {
	cfg          process.Config
	startTimeout time.Duration     // bounds a start, up to the open stream
	shown        hclog.SinkAdapter // gets what is printed; nil: nothing does

	first    *life // of the first start
	firstErr error // why it failed
	current  *life // for the cases that leave it as it was; nil: none
}

// errNoStart skips what needs a plugin that starts: that it does not has been told.
var errNoStart = skip("the plugin does not start")

// A life is one process of the plugin, and what was seen of it.
type life struct {
	*process.Process // nil: it did not start
	wire             *wire
	logs             *logs
	last             uint64 // number of the newest request
}

// start starts a process. The life is there also if the start failed.
func (s *suite) start(ctx context.Context, change func(*process.Config)) (*life, error) {
	l := &life{wire: newWire(), logs: new(logs)}
	cfg := s.cfg
	cfg.Logger, cfg.Tail, cfg.Accept, cfg.DialOptions = l.logs.logger(s.shown), nil, nil, l.wire.options()
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithTimeout(ctx, s.startTimeout)
	defer cancel()
	var err error
	if l.Process, err = process.Start(ctx, cfg); err != nil {
		l.Process = nil
		return l, err
	}
	return l, nil
}

// shared is the process of the cases that leave it as it was, or a new one if that
// is gone.
func (s *suite) shared(ctx context.Context) (*life, error) {
	if l := s.current; l != nil {
		select {
		case <-l.Done():
		case <-l.Exited(): // the stream's end is about to follow
		default:
			return l, nil
		}
		s.stop(l)
		s.current = nil
	}
	if s.first.Process == nil {
		return nil, errNoStart
	}
	l, err := s.start(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("start it again: %w", err)
	}
	s.current = l
	return l, nil
}

// fresh is a process for one case alone, which stops it.
func (s *suite) fresh(ctx context.Context, change func(*process.Config)) (*life, error) {
	if s.first.Process == nil {
		return nil, errNoStart
	}
	l, err := s.start(ctx, change)
	if err != nil {
		return nil, fmt.Errorf("start another process: %w", err)
	}
	return l, nil
}

// stop ends a process as the host does, and returns how it ended.
func (s *suite) stop(l *life) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = l.Stop(ctx) // only why the stream ended; the exit is what counts
	return l.Cause()
}

func (s *suite) end() {
	if s.current != nil {
		s.stop(s.current)
	}
}

// conformant tells whether the plugin has all conformance handlers.
func (s *suite) conformant() bool {
	var have []string
	for _, h := range s.first.wire.description().GetHandlers() {
		have = append(have, h.GetName())
	}
	return !slices.ContainsFunc(handlers, func(name string) bool { return !slices.Contains(have, name) })
}

// targets are the handlers that may get any payload: all but, in a conformance
// plugin, the one that ends the process.
func (s *suite) targets() []string {
	conformant := s.conformant()
	var names []string
	for _, h := range s.first.wire.description().GetHandlers() {
		if !conformant || h.GetName() != "exit" {
			names = append(names, h.GetName())
		}
	}
	return names
}

// A call is a request that was sent.
type call struct {
	number  uint64
	results chan stream.Result
}

// send sends a request. Its deadline is timeout from now.
func (l *life) send(handlerName string, payload []byte, timeout time.Duration) call {
	return l.sendAs(handler.Info{RequestID: uuid.NewString(), Topic: "conformance", Handler: handlerName, Attempt: 1}, payload, timeout)
}

func (l *life) sendAs(info handler.Info, payload []byte, timeout time.Duration) call {
	c := call{results: make(chan stream.Result, 1)}
	c.number = l.Instance().Start(stream.Request{
		Handler: info.Handler, Info: info, Deadline: time.Now().Add(timeout), Payload: payload,
	}, func(r stream.Result) { c.results <- r })
	l.last = max(l.last, c.number)
	return c
}

// wait waits for a result, at most d. A crash is an error.
func (l *life) wait(ctx context.Context, c call, d time.Duration) (stream.Result, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case r := <-c.results:
		if r.Crashed {
			return r, fmt.Errorf("the stream ended without a result for request number %d%s", c.number, l.ending())
		}
		return r, nil
	case <-timer.C:
		return stream.Result{}, fmt.Errorf("no result for request number %d within %s", c.number, d)
	case <-ctx.Done():
		return stream.Result{}, context.Cause(ctx)
	}
}

// ending says how the process ended, if it did, for the end of an error.
func (l *life) ending() string {
	// The exit follows the stream's end, if that is what ended it.
	if err := l.gone(context.Background(), time.Second); err != nil {
		return ""
	}
	return fmt.Sprintf(": the process %v", l.Cause())
}

// ask sends a request and waits for its result.
func (l *life) ask(ctx context.Context, handlerName string, payload []byte) (stream.Result, error) {
	return l.wait(ctx, l.send(handlerName, payload, patience), patience)
}

// mustAnswer is ask for what must be ok; it returns the response.
func (l *life) mustAnswer(ctx context.Context, handlerName string, payload []byte) ([]byte, error) {
	r, err := l.ask(ctx, handlerName, payload)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", handlerName, err)
	}
	if r.Err != nil {
		return nil, fmt.Errorf("%s was answered %s (%s: %s)", handlerName, r.Err.Status, r.Err.Code, r.Err.Message)
	}
	return r.Payload, nil
}

// absent is the name of a handler that no plugin has.
const absent = "rrhost-conformance-absent"

// lives makes sure that the plugin still answers. Requests are taken in order: when
// it returns, all that were sent before have been.
func (l *life) lives(ctx context.Context) error {
	r, err := l.ask(ctx, absent, []byte("{}"))
	if err != nil {
		return err
	}
	return wantStatus(r, handler.StatusNoHandler)
}

// settled makes sure that each request so far got exactly one result.
func (l *life) settled(ctx context.Context) error {
	if err := l.lives(ctx); err != nil {
		return err
	}
	return l.wire.exactlyOne(l.last)
}

// gone waits for the process's exit.
func (l *life) gone(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.Exited():
		return nil
	case <-timer.C:
		return fmt.Errorf("the process has not exited within %s", d)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// over waits for the end of the stream.
func (l *life) over(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.Done():
		return nil
	case <-timer.C:
		return fmt.Errorf("the stream has not ended within %s", d)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// eventually waits until ok.
func eventually(ctx context.Context, ok func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			return false
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// statusOf is a result's status as replies have it.
func statusOf(r stream.Result) string {
	if r.Err == nil {
		return "ok"
	}
	return r.Err.Status
}

func wantStatus(r stream.Result, want string) error {
	if got := statusOf(r); got != want {
		return fmt.Errorf("it was answered %s, and not %s", got, want)
	}
	return nil
}

// exitedWith0 is nil for a process that left in order.
func exitedWith0(cause error) error {
	if cause == nil {
		return errors.New("the process has not exited")
	}
	if cause.Error() != "exited with code 0" {
		return fmt.Errorf("the process %w", cause)
	}
	return nil
}

// encoded is v as JSON, of which every v here has one.
func encoded(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
