package client

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/uuid"

	"rrhost/config"
	"rrhost/internal/kafka"
	"rrhost/internal/wire"
)

func TestCall(t *testing.T) {
	_, cfg := broker(t)
	serve(t, cfg, sums)
	c := open1(t, cfg)
	got, err := Call[total](t.Context(), c, testTopic, sum{10, 5})
	if err != nil || got.Result != 15 {
		t.Fatalf("Call = %+v, %v; want 15", got, err)
	}
	r, err := c.Do(t.Context(), Request{Topic: testTopic, Payload: []byte(`{"a":1,"b":2}`)})
	if err != nil || string(r.Payload) != `{"result":3}` || r.Status != StatusOK || r.Attempt != 1 ||
		r.Duration != 3*time.Millisecond || r.Plugin != "calculate v1" || !wire.ValidID(r.RequestID) || r.Topic != testTopic {
		t.Errorf("Do = %+v, %v", r, err)
	}
}

// Every one of many concurrent calls gets the answer to its own question.
func TestCallMany(t *testing.T) {
	_, cfg := broker(t)
	serve(t, cfg, sums)
	c := open1(t, cfg)
	var wg sync.WaitGroup
	for w := range 200 {
		wg.Go(func() {
			for i := range 20 {
				got, err := Call[total](t.Context(), c, testTopic, sum{w * 1000, i})
				if err != nil || got.Result != w*1000+i {
					t.Errorf("Call(%d, %d) = %d, %v", w*1000, i, got.Result, err)
				}
			}
		})
	}
	wg.Wait()
	if s := c.Stats(); s != (Stats{}) {
		t.Errorf("Stats = %+v, want zeros", s)
	}
}

// What a caller sets arrives at the host.
func TestCallOptions(t *testing.T) {
	_, cfg := broker(t)
	seen := make(chan request, 1)
	serve(t, cfg, func(h *host, q request) {
		seen <- q
		sums(h, q)
	})
	c := open1(t, cfg, WithDefaultTimeout(7*time.Second))
	id := uuid.NewString()
	before := time.Now()
	_, err := Call[total](t.Context(), c, testTopic, sum{}, WithRequestID(id), WithKey([]byte("acct")),
		WithTrace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b"), WithHeader("tenant", "x"))
	if err != nil {
		t.Fatal(err)
	}
	q := <-seen
	if q.ID != id || string(q.Key) != "acct" || q.Traceparent[:3] != "00-" || q.Tracestate != "a=b" || q.Timeout != 7*time.Second ||
		q.Sent.Before(before.Truncate(time.Millisecond)) || q.Sent.After(time.Now()) {
		t.Errorf("request %+v", q.Request)
	}
	if _, err := Call[total](t.Context(), c, testTopic, sum{}, WithTimeout(1234567*time.Microsecond)); err != nil {
		t.Fatal(err)
	}
	if q := <-seen; q.Key != nil || q.Timeout != 1234*time.Millisecond {
		t.Errorf("key %q, timeout %v; want none and 1.234 s", q.Key, q.Timeout)
	}
	// An earlier deadline of the context is what the host gets.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := Call[total](ctx, c, testTopic, sum{}); err != nil {
		t.Fatal(err)
	}
	if q := <-seen; q.Timeout > 3*time.Second || q.Timeout < 2*time.Second {
		t.Errorf("timeout %v, want what is left of 3 s", q.Timeout)
	}
}

func TestCallRefusedBeforeSending(t *testing.T) {
	_, cfg := broker(t)
	c := open1(t, cfg)
	tests := []struct {
		name string
		r    Request
		want string
		is   error
	}{
		{"payload", Request{Payload: make([]byte, 1_000_001)}, "has 1000001 bytes and may have 1000000", ErrTooLarge},
		{"key", Request{Key: make([]byte, 2<<20)}, "with key and headers", ErrTooLarge},
		{"headers", Request{Headers: make([]Header, 60)}, "headers are too many", ErrTooLarge},
		{"header bytes", Request{Headers: []Header{{"note", strings.Repeat("x", 6100)}},
			Traceparent: strings.Repeat("a", 2048), Tracestate: strings.Repeat("b", 2048)}, "headers are too large", ErrTooLarge},
		{"our header", Request{Headers: []Header{{"reply_to", "x"}}}, "reply_to belongs to the protocol", ErrMalformed},
		{"trace", Request{Traceparent: "é"}, "traceparent is not plain text", ErrMalformed},
		{"timeout", Request{Timeout: 48 * time.Hour}, "timeout of 48h0m0s is above 24h0m0s", ErrMalformed},
		{"no topic's name", Request{Topic: "bad topic!"}, `"bad topic!" cannot be the name of a topic`, ErrMalformed},
		{"dead letters", Request{Topic: "calculate.dlq"}, "calculate.dlq is for dead letters", ErrMalformed},
		{"replies", Request{Topic: "rr.replies"}, "rr.replies is for replies", ErrMalformed},
		{"id", Request{ID: "7"}, "not a UUID v4", ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.r.Topic == "" {
				tt.r.Topic = testTopic
			}
			reply, err := c.Do(t.Context(), tt.r)
			mentions(t, err, tt.want, tt.r.Topic)
			var send *SendError
			if !errors.As(err, &send) || !errors.Is(err, tt.is) {
				t.Errorf("%v is no SendError of %v", err, tt.is)
			}
			if reply.RequestID == "" || reply.Topic != tt.r.Topic {
				t.Errorf("the reply does not name the request: %+v", reply)
			}
		})
	}
	if _, err := Call[total](t.Context(), c, testTopic, func() {}); err == nil {
		t.Error("a request without JSON form was sent")
	}
	if s := c.Stats(); s.Pending != 0 {
		t.Errorf("Pending = %d", s.Pending)
	}
}

func TestCallStatuses(t *testing.T) {
	_, cfg := broker(t)
	serve(t, cfg, func(h *host, q request) {
		var status wire.Status
		_ = json.Unmarshal(q.plain, &status)
		body, _ := json.Marshal(wire.ErrorBody{Code: "no_such_account", Message: "account 7 is closed", Details: json.RawMessage(`{"id":7}`)})
		h.answer(q, status, body)
	})
	c := open1(t, cfg)
	for _, status := range wire.Statuses() {
		if status == StatusOK {
			continue
		}
		payload, _ := json.Marshal(status)
		r, err := c.Do(t.Context(), Request{Topic: testTopic, Payload: payload})
		if StatusOf(err) != status || r.Status != status {
			t.Errorf("%s: StatusOf(%v) = %q, reply %+v", status, err, StatusOf(err), r)
		}
		mentions(t, err, r.RequestID, testTopic)
		var (
			handler  *HandlerError
			timeout  *TimeoutError
			rejected *RejectedError
		)
		switch status {
		case StatusHandlerError:
			if !errors.As(err, &handler) || handler.Code != "no_such_account" || handler.Message != "account 7 is closed" || string(handler.Details) != `{"id":7}` {
				t.Errorf("%s: %#v", status, err)
			}
		case StatusExpired, StatusDeadlineExceeded:
			if !errors.As(err, &timeout) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %#v", status, err)
			}
		case StatusUndecryptable, StatusMalformed:
			if !errors.As(err, &rejected) || rejected.Authenticated || rejected.Hint == "" {
				t.Errorf("%s: %#v, want one that is not authenticated, with a hint", status, err)
			}
			mentions(t, err, "not authenticated")
		default:
			if !errors.As(err, &rejected) || !rejected.Authenticated || rejected.Message != "account 7 is closed" {
				t.Errorf("%s: %#v", status, err)
			}
		}
	}
}

func TestCallTimeout(t *testing.T) {
	_, cfg := broker(t)
	var asked atomic.Int64
	serve(t, cfg, func(*host, request) { asked.Add(1) })
	c := open1(t, cfg)
	const after = 2 * time.Second // in which a request gets through
	var calls sync.WaitGroup
	check := func(name string, call func() error) {
		start := time.Now()
		err := call()
		took := time.Since(start)
		var timeout *TimeoutError
		if !errors.As(err, &timeout) || !errors.Is(err, context.DeadlineExceeded) || !timeout.Acknowledged || timeout.Status != "" || StatusOf(err) != "" {
			t.Errorf("%s: %#v", name, err)
		}
		if timeout != nil {
			mentions(t, err, "no reply", testTopic, timeout.RequestID)
		}
		if took < after || took > config.DefaultTimeout/2 {
			t.Errorf("%s: ended after %v, want %v", name, took, after)
		}
	}
	calls.Go(func() {
		check("timeout", func() error {
			_, err := Call[total](t.Context(), c, testTopic, sum{}, WithTimeout(after))
			return err
		})
	})
	calls.Go(func() {
		check("deadline", func() error {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			defer cancel()
			_, err := Call[total](ctx, c, testTopic, sum{})
			return err
		})
	})
	calls.Wait()
	until(t, "both were asked", func() bool { return asked.Load() == 2 })
	if s := c.Stats(); s.Pending != 0 {
		t.Errorf("Pending = %d after the calls", s.Pending)
	}
	// What is over before it starts is not sent.
	ctx, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	if _, err := Call[total](ctx, c, testTopic, sum{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with an ended context: %v", err)
	}
}

func TestCallCancelled(t *testing.T) {
	_, cfg := broker(t)
	serve(t, cfg, func(*host, request) {})
	c := open1(t, cfg)
	reason := errors.New("user pressed escape")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		until(t, "call under way", func() bool { return c.Stats().Pending == 1 })
		cancel(reason)
	}()
	_, err := Call[total](ctx, c, testTopic, sum{})
	if !errors.Is(err, reason) {
		t.Errorf("Call = %v, want the cause of the cancel", err)
	}
	mentions(t, err, testTopic)
	if s := c.Stats(); s.Pending != 0 {
		t.Errorf("Pending = %d after the call", s.Pending)
	}
}

// sender hands every message to what a test says, in place of Kafka.
type sender struct {
	producer
	send func(m *sarama.ProducerMessage, done func(kafka.Ack, error))
}

func (s *sender) Send(m *sarama.ProducerMessage, _ int, done func(kafka.Ack, error)) { s.send(m, done) }

// The reply may come before the call that sent the request has returned, and
// before its acknowledgement: the call must be registered by then.
func TestReplyFasterThanSend(t *testing.T) {
	_, cfg := broker(t)
	ring, err := cfg.Ring()
	if err != nil {
		t.Fatal(err)
	}
	c := open1(t, cfg)
	tr := c.t.(*transport)
	tr.producer = &sender{tr.producer, func(m *sarama.ProducerMessage, done func(kafka.Ack, error)) {
		q := request{Request: decoded(t, m)}
		answer, _ := reply(ring, q, StatusOK, []byte(`{"result":15}`))
		tr.receive(consumed(t, answer))
		done(kafka.Ack{}, nil)
	}}
	got, err := Call[total](t.Context(), c, testTopic, sum{}, WithTimeout(10*time.Second))
	if err != nil || got.Result != 15 {
		t.Errorf("Call = %+v, %v", got, err)
	}
	if s := c.Stats(); s != (Stats{}) {
		t.Errorf("Stats = %+v: the reply found no call", s)
	}
}

// A request that Kafka does not acknowledge ends at once, with its id.
func TestSendFails(t *testing.T) {
	_, cfg := broker(t)
	c := open1(t, cfg)
	tr := c.t.(*transport)
	broken := errors.New("the network is down")
	tr.producer = &sender{tr.producer, func(_ *sarama.ProducerMessage, done func(kafka.Ack, error)) { done(kafka.Ack{}, broken) }}
	id := newID()
	_, err := Call[total](t.Context(), c, testTopic, sum{}, WithRequestID(id))
	var send *SendError
	if !errors.As(err, &send) || !errors.Is(err, broken) || send.RequestID != id {
		t.Errorf("Call = %#v", err)
	}
	mentions(t, err, id, testTopic, "network is down")
	if s := c.Stats(); s.Pending != 0 || len(tr.unacked) != 0 {
		t.Errorf("Stats = %+v, %d slots kept", s, len(tr.unacked))
	}
}

func TestCloseWithPending(t *testing.T) {
	_, cfg := broker(t)
	serve(t, cfg, func(*host, request) {})
	c := open1(t, cfg)
	const n = 50
	errs := make(chan error, n)
	for range n {
		go func() {
			_, err := Call[total](t.Context(), c, testTopic, sum{})
			errs <- err
		}()
	}
	until(t, "calls under way", func() bool { return c.Stats().Pending == n })
	start := time.Now()
	var closers sync.WaitGroup
	for range 2 {
		closers.Go(func() {
			if err := c.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		})
	}
	for range n {
		if err := <-errs; !errors.Is(err, ErrClosed) {
			t.Errorf("pending call: %v, want ErrClosed", err)
		}
	}
	closers.Wait()
	if took := time.Since(start); took > config.DefaultTimeout/2 { // that of a call
		t.Errorf("Close took %v", took)
	}
	if _, err := Call[total](t.Context(), c, testTopic, sum{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
}

// Two calls under one id at once would share a reply.
func TestCallSameIDTwice(t *testing.T) {
	_, cfg := broker(t)
	serve(t, cfg, func(*host, request) {})
	c := open1(t, cfg)
	id := uuid.NewString()
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		_, _ = Call[total](ctx, c, testTopic, sum{}, WithRequestID(id))
	}()
	until(t, "call under way", func() bool { return c.Stats().Pending == 1 })
	_, err := Call[total](t.Context(), c, testTopic, sum{}, WithRequestID(id))
	mentions(t, err, id, "under way")
	cancel()
	<-ended
}

// What a call needed is let go when it ends, however it ends: the table, the
// slots and what is remembered of ended calls do not grow.
func TestCallsLeaveNothing(t *testing.T) {
	_, cfg := broker(t)
	var n atomic.Int64
	serve(t, cfg, func(h *host, q request) {
		if n.Add(1)%50 != 0 { // each fiftieth call times out
			sums(h, q)
		}
	})
	c := open1(t, cfg)
	tr := c.t.(*transport)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 40 {
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				_, _ = Call[json.RawMessage](ctx, c, testTopic, sum{}, WithTimeout(time.Minute))
				cancel()
			}
		})
	}
	wg.Wait()
	until(t, "no slot is kept", func() bool { return len(tr.unacked) == 0 })
	if got := tr.pending.len(); got != 0 {
		t.Errorf("%d calls are still registered", got)
	}
}

// Answered calls with long timeouts keep no memory until those are over.
func TestMemoryStaysFlat(t *testing.T) {
	p := newPending()
	tr := &transport{pending: p}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	round := func(n int) {
		for range n {
			id := newID()
			c := &call{topic: testTopic, outcome: make(chan outcome, 1)}
			if _, err := p.add(id, c); err != nil {
				t.Fatal(err)
			}
			timer := time.NewTimer(time.Hour)
			if p.take(id, c, true) {
				c.outcome <- outcome{reply: &Reply{RequestID: id, Payload: make([]byte, 256)}}
			}
			<-c.outcome
			timer.Stop()
		}
	}
	round(2 * recentSlots)
	before := heap()
	round(200_000)
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("heap grew by %d bytes in 200,000 calls", grown)
	}
	if tr.pending.len() != 0 {
		t.Errorf("%d calls are still registered", tr.pending.len())
	}
}
