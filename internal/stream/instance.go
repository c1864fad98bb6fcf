package stream

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"rrhost/internal/handler"
	"rrhost/plugin/proto"
)

// ErrEnded is the cause of an end that both sides wanted.
var ErrEnded = errors.New("the stream has ended")

// A Request is what a plugin is asked.
type Request struct {
	Handler string
	Info    handler.Info
	// Deadline ends the handler's context; the plugin gets what remains of it
	// when the request leaves.
	Deadline time.Time
	// Payload must not change until the result is there.
	Payload []byte
}

// A Result is what came of a request.
type Result struct {
	handler.Result
	// Crashed: there is no result, the plugin is gone.
	Crashed bool
	// NotStarted, beside Crashed: no handler has seen the request. Trying it
	// once more is safe and counts for nothing.
	NotStarted bool
}

// An Instance is the host's end of the stream to one process. Its methods are
// safe for concurrent use.
type Instance struct {
	about    About
	maxReply int

	mu      sync.Mutex
	number  uint64                  // of the newest request
	calls   map[uint64]func(Result) // started, without a result; guarded by mu
	queue   []queued                // started, not yet on the stream
	cancels []uint64                // to go out with the next frame
	leaving bool                    // the plugin has said goodbye
	last    uint64                  // with leaving: the newest request it took
	over    bool
	lost    int // requests that may have been running at the end

	wake chan struct{} // has one value if the writer may have work
	quit chan struct{} // closed when over
}

type queued struct {
	number uint64
	Request
}

// About is what a plugin said of itself.
type About struct {
	Name, Version, SDK string
	Handlers           []HandlerInfo
	ConfigSchema       []byte // JSON Schema of the settings; nil if unknown
}

// HandlerInfo describes one handler.
type HandlerInfo struct {
	Name                          string
	RequestSchema, ResponseSchema []byte // JSON Schema; nil if unknown
	ChecksPayload                 bool   // the handler's side holds requests against RequestSchema
}

// NewInstance makes the host's end. Requests may be started at once; they leave
// when [Instance.Run] runs. Responses above maxReply bytes are refused.
func NewInstance(about About, maxReply int) *Instance {
	return &Instance{
		about:    about,
		maxReply: maxReply,
		calls:    make(map[uint64]func(Result)),
		wake:     make(chan struct{}, 1),
		quit:     make(chan struct{}),
	}
}

// About returns what the plugin said of itself.
func (i *Instance) About() About { return i.about }

// Start sends a request on its way and returns its number, for [Instance.Cancel].
// It never blocks. done is called exactly once, mostly from the goroutine that
// reads the stream: it must not block either. After the end of the plugin it is
// called within Start, with NotStarted, and the number is 0.
func (i *Instance) Start(r Request, done func(Result)) uint64 {
	i.mu.Lock()
	if i.over {
		i.mu.Unlock()
		done(Result{Crashed: true, NotStarted: true})
		return 0
	}
	i.number++
	number := i.number
	i.calls[number] = done
	first := len(i.queue) == 0
	i.queue = append(i.queue, queued{number, r})
	i.mu.Unlock()
	if first {
		i.signal()
	}
	return number
}

// Cancel ends the context of a request. Its result still comes, and done is
// called with it. Cancelling what has ended already does nothing.
func (i *Instance) Cancel(number uint64) {
	i.mu.Lock()
	_, running := i.calls[number]
	if running {
		i.cancels = append(i.cancels, number)
	}
	i.mu.Unlock()
	if running {
		i.signal()
	}
}

func (i *Instance) signal() {
	select {
	case i.wake <- struct{}{}:
	default: // the writer has yet to look
	}
}

// Run moves requests and results until the stream ends, which is when its
// context does or the plugin is gone. By then done has been called for every
// request, and no goroutine is left. It returns why it ended: [ErrEnded] if the
// plugin left in order.
func (i *Instance) Run(s proto.Handler_HandleClient) error {
	var writer sync.WaitGroup
	writer.Go(func() { i.write(s) })
	err := i.read(s)
	i.mu.Lock()
	i.over = true
	i.mu.Unlock()
	close(i.quit)
	writer.Wait()
	i.fail()
	if errors.Is(err, io.EOF) {
		return ErrEnded
	}
	return fmt.Errorf("stream: %w", err)
}

// write sends what waits until the stream ends. It owns frame and its messages,
// and uses them again: gRPC has encoded a message when SendMsg returns. (What
// keeps messages longer is a stats handler; the connection has none.)
func (i *Instance) write(s proto.Handler_HandleClient) {
	var (
		frame proto.RequestFrame
		pool  []*proto.Request
		queue []queued
	)
	for {
		select {
		case <-i.wake:
		case <-i.quit:
			return
		}
		for {
			i.mu.Lock()
			if i.leaving || i.over {
				// What waits stays in the queue: fail will say that it was
				// not started.
				i.mu.Unlock()
				break
			}
			queue, i.queue = i.queue, queue[:0]
			frame.Cancels = append(frame.Cancels[:0], i.cancels...)
			i.cancels = i.cancels[:0]
			i.mu.Unlock()
			if len(queue) == 0 && len(frame.Cancels) == 0 {
				break
			}
			for rest := queue; len(rest) > 0 || len(frame.Cancels) > 0; {
				var n int
				n, pool = fillRequests(&frame, pool, rest)
				rest = rest[n:]
				if s.Send(&frame) != nil { // the reader gets the reason
					i.mu.Lock()
					i.queue = append(i.queue, rest...) // of these nothing has left
					i.mu.Unlock()
					return
				}
				frame.Cancels = frame.Cancels[:0]
			}
			clear(queue) // let go of payloads
		}
	}
}

// fillRequests puts as much of queue into frame as a frame takes, at least one,
// and returns how many.
func fillRequests(frame *proto.RequestFrame, pool []*proto.Request, queue []queued) (int, []*proto.Request) {
	frame.Requests = frame.Requests[:0]
	size, now := 0, time.Now()
	for n := range queue {
		q := &queue[n]
		size += len(q.Payload) + len(q.Info.Tracestate) + itemOverhead
		if n == maxFrameItems || n > 0 && size > maxFrameBytes {
			return n, pool
		}
		if n == len(pool) {
			pool = append(pool, new(proto.Request))
		}
		m := pool[n]
		m.Number = q.number
		m.Handler = q.Handler
		m.Payload = q.Payload
		m.TimeoutUs = microseconds(q.Deadline.Sub(now))
		m.RequestId = q.Info.RequestID
		m.Topic = q.Info.Topic
		m.Attempt = uint32(q.Info.Attempt)
		m.Redelivered = q.Info.Redelivered
		m.Traceparent = q.Info.Traceparent
		m.Tracestate = q.Info.Tracestate
		frame.Requests = append(frame.Requests, m)
	}
	return len(queue), pool
}

// read hands out results until the stream ends.
func (i *Instance) read(s proto.Handler_HandleClient) error {
	var dones []func(Result)
	for {
		frame, err := s.Recv()
		if err != nil {
			return err
		}
		dones = dones[:0]
		i.mu.Lock()
		for _, r := range frame.Results {
			// nil for a number that is nobody's, or that comes again.
			dones = append(dones, i.calls[r.GetNumber()])
			delete(i.calls, r.GetNumber())
		}
		if frame.Goodbye != nil && !i.leaving {
			i.leaving, i.last = true, frame.Goodbye.GetLast()
		}
		i.mu.Unlock()
		for n, done := range dones {
			if done != nil {
				done(Result{Result: resultOf(frame.Results[n], i.maxReply)})
			}
			dones[n] = nil
		}
	}
}

// fail tells all that wait that the plugin is gone.
func (i *Instance) fail() {
	i.mu.Lock()
	calls, queue := i.calls, i.queue
	i.calls, i.queue = make(map[uint64]func(Result)), nil
	i.mu.Unlock()
	unsent := make(map[uint64]bool, len(queue))
	for _, q := range queue {
		unsent[q.number] = true
	}
	for number, done := range calls {
		untouched := unsent[number] || i.leaving && number > i.last
		if !untouched {
			i.mu.Lock()
			i.lost++
			i.mu.Unlock()
		}
		done(Result{Crashed: true, NotStarted: untouched})
	}
}

// Lost is how many requests may have been running when the stream ended: any of
// them may have been what ended it.
func (i *Instance) Lost() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.lost
}

// maxDuration is the longest time in a handler that is believed. No requester
// waits longer, and the reply's header has room for it.
const maxDuration = 24 * time.Hour

// resultOf trusts nothing that a plugin says beyond its form.
func resultOf(r *proto.Result, maxReply int) handler.Result {
	res := handler.Result{Duration: time.Duration(min(r.DurationUs, uint64(maxDuration/time.Microsecond))) * time.Microsecond}
	if e := r.GetError(); e != nil {
		res.Err = handler.Foreign(e.GetStatus(), e.GetCode(), e.GetMessage(), e.GetDetails(), maxReply)
		return res
	}
	if maxReply > 0 && len(r.Payload) > maxReply {
		res.Err = handler.TooLarge(len(r.Payload), maxReply)
		return res
	}
	if res.Payload = r.Payload; res.Payload == nil {
		res.Payload = []byte{}
	}
	return res
}
