// Package clienttest makes a client whose requests go straight to handlers in
// the same process: no Kafka, no host, no keys. What a test sees is otherwise
// what a program sees: JSON both ways, deadlines, typed errors.
package clienttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"rrhost/client"
	"rrhost/config"
	"rrhost/internal/discovery"
	"rrhost/internal/handler"
	"rrhost/internal/schema"
	"rrhost/internal/wire"
)

// New makes a client for handlers, each behind the topic of its own name. A
// call to another topic is rejected with no_handler: there is no host that
// could be silent. The caller closes it.
//
// It panics when two handlers have the same name, or one has a request schema
// that a host cannot use.
func New(handlers ...handler.Handler) *client.Client {
	t := &transport{handlers: make(map[string]served, len(handlers))}
	for _, h := range handlers {
		if _, ok := t.handlers[h.Name()]; ok {
			panic(fmt.Sprintf("clienttest: two handlers are named %q", h.Name()))
		}
		s, err := schema.OfRequests(h.RequestSchema(), h.ChecksPayload())
		if err != nil {
			panic(fmt.Sprintf("clienttest: the request schema of %q cannot be used: %v", h.Name(), err))
		}
		t.handlers[h.Name()] = served{h, s}
	}
	t.ctx, t.end = context.WithCancelCause(context.Background())
	return client.New(t)
}

// served is a handler with what the host holds requests against before it.
type served struct {
	handler.Handler
	schema *schema.Schema // nil: nothing
}

// transport is the way to handlers in this process.
type transport struct {
	handlers map[string]served
	ctx      context.Context // ends with Close
	end      context.CancelCauseFunc

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

// RoundTrip runs the handler on a goroutine of its own: like a real one it may
// go on after its requester has stopped waiting.
func (t *transport) RoundTrip(ctx context.Context, r *client.Request) (*client.Reply, error) {
	start := time.Now()
	if len(r.Payload) > config.DefaultMaxPayload {
		return nil, &client.SendError{RequestID: r.ID, Topic: r.Topic, Err: fmt.Errorf(
			"%w: the payload has %d bytes and may have %d", client.ErrTooLarge, len(r.Payload), config.DefaultMaxPayload)}
	}
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = config.DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, closed(r)
	}
	t.running.Add(1)
	t.mu.Unlock()

	// The handler's context ends with the call's time and with the client.
	work, stop := context.WithCancel(ctx)
	unlink := context.AfterFunc(t.ctx, stop)
	replies := make(chan *client.Reply, 1)
	go func() {
		defer t.running.Done()
		defer stop()
		defer unlink()
		if r.Ping {
			replies <- t.pong(r.ID, r.Topic)
			return
		}
		replies <- t.run(work, r.ID, r.Topic, r.Traceparent, r.Tracestate, append([]byte(nil), r.Payload...))
	}()

	select {
	case reply := <-replies:
		if t.ctx.Err() != nil {
			return nil, closed(r)
		}
		return reply, nil
	case <-t.ctx.Done():
		return nil, closed(r)
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, &client.TimeoutError{RequestID: r.ID, Topic: r.Topic, After: time.Since(start), Acknowledged: true}
		}
		return nil, fmt.Errorf("call %s, request %s: %w", r.Topic, r.ID, context.Cause(ctx))
	}
}

// run is the host's part.
func (t *transport) run(ctx context.Context, id, topic, traceparent, tracestate string, payload []byte) *client.Reply {
	h, ok := t.handlers[topic]
	if !ok {
		return noHandler(id, topic)
	}
	res := handler.Result{Err: h.schema.Refusal(payload)}
	if res.Err == nil {
		res = h.Run(ctx, handler.Info{
			RequestID: id, Topic: topic, Handler: h.Name(), Attempt: 1,
			Traceparent: traceparent, Tracestate: tracestate,
		}, nil, payload, config.DefaultMaxPayload)
	}
	var reply *client.Reply
	if res.Err != nil {
		reply = failure(id, topic, wire.Status(res.Err.Status), wire.ErrorBody{
			Code: res.Err.Code, Message: res.Err.Message, Details: res.Err.Details,
		})
	} else {
		reply = &client.Reply{RequestID: id, Topic: topic, Status: client.StatusOK, Payload: res.Payload}
	}
	reply.Attempt, reply.Duration, reply.Plugin = 1, res.Duration.Truncate(time.Millisecond), "clienttest"
	return reply
}

// pong is the host's answer for a handler.
func (t *transport) pong(id, topic string) *client.Reply {
	if _, ok := t.handlers[topic]; !ok {
		return noHandler(id, topic)
	}
	text, err := json.Marshal(discovery.Pong{Name: "clienttest", Plugin: "clienttest", State: "ready", Handler: topic})
	if err != nil { // strings always encode
		text = []byte(`{}`)
	}
	return &client.Reply{RequestID: id, Topic: topic, Status: client.StatusOK, Payload: text}
}

func noHandler(id, topic string) *client.Reply {
	return failure(id, topic, wire.StatusNoHandler, wire.ErrorBody{
		Code: string(wire.StatusNoHandler), Message: fmt.Sprintf("no handler is named %q", topic),
	})
}

func failure(id, topic string, status wire.Status, body wire.ErrorBody) *client.Reply {
	text, err := json.Marshal(body)
	if err != nil { // details are JSON already
		text = []byte(`{}`)
	}
	return &client.Reply{RequestID: id, Topic: topic, Status: status, Payload: text}
}

func closed(r *client.Request) error {
	return fmt.Errorf("call %s, request %s: %w", r.Topic, r.ID, client.ErrClosed)
}

// Close ends the calls under way and waits for their handlers to return.
func (t *transport) Close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.end(client.ErrClosed)
	t.running.Wait()
	return nil
}
