package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/uuid"

	"rrhost/config"
	"rrhost/internal/envelope"
	"rrhost/internal/kafka"
)

// unackedMost is how many requests may wait for Kafka's acknowledgement. Below
// what sarama buffers, so that a broker that is away never holds a call beyond
// its timeout.
const unackedMost = 1000

var errBusy = errors.New("a call with this request id is under way")

// transport takes requests through Kafka.
//
// It listens on one partition of the shared reply topic, which its requests
// name, and drops what it did not ask for. It is in no consumer group.
type transport struct {
	ring         *envelope.Ring
	replyTopic   string
	controlTopic string // empty: there is none
	timeout      time.Duration
	maxPayload   int
	maxRecord    int

	producer producer
	replies  *kafka.Tail
	pending  *pending
	unacked  chan struct{}
	topics   existing
	serving  *serving // nil: calls do not fail fast
	about    []byte   // the reader's, used again

	foreign, duplicate, late, forged atomic.Int64

	closing sync.Once
	reader  sync.WaitGroup
	failure error // of closing
}

// producer is a [kafka.Producer].
type producer interface {
	Send(m *sarama.ProducerMessage, waiting int, done func(kafka.Ack, error))
	CheckTopic(topic string) error
	Close() error
}

// Open connects to Kafka as cfg says, and to its hosts' reply topic. When it
// returns, the position there is fixed, so that no reply can come too early.
// ctx bounds the opening, not the client's life.
func Open(ctx context.Context, cfg config.Config, opts ...Option) (*Client, error) {
	o := options{timeout: config.DefaultTimeout}
	for _, set := range opts {
		set(&o)
	}
	// The libraries below know no context: what comes too late is closed.
	type opened struct {
		t   *transport
		err error
	}
	result := make(chan opened, 1)
	go func() {
		t, err := open(ctx, cfg.WithDefaults(), o)
		result <- opened{t, err}
	}()
	select {
	case r := <-result:
		if r.err != nil {
			return nil, fmt.Errorf("open client: %w", r.err)
		}
		return New(r.t), nil
	case <-ctx.Done():
		go func() {
			if r := <-result; r.t != nil {
				_ = r.t.Close()
			}
		}()
		return nil, fmt.Errorf("open client: %w", context.Cause(ctx))
	}
}

func open(ctx context.Context, cfg config.Config, o options) (*transport, error) {
	ring, err := cfg.Ring()
	if err != nil {
		return nil, err
	}
	t := &transport{
		ring:       ring,
		replyTopic: cfg.Replies.Topic,
		timeout:    o.timeout,
		maxPayload: cfg.Host.MaxPayload,
		maxRecord:  kafka.MaxRecord(cfg),
		pending:    newPending(),
		unacked:    make(chan struct{}, unackedMost),
	}
	if t.replies, err = kafka.NewTail(cfg, t.replyTopic); err != nil {
		return nil, err
	}
	if t.producer, err = kafka.NewProducer(cfg); err != nil {
		_ = t.replies.Close()
		return nil, err
	}
	t.topics.check = t.producer.CheckTopic
	if cfg.Discovery.On() {
		t.controlTopic = cfg.Discovery.Topic
	}
	if o.failFast {
		if t.serving, err = openServing(ctx, cfg); err != nil {
			return nil, errors.Join(err, t.producer.Close(), t.replies.Close())
		}
	}
	t.reader.Go(func() { t.replies.Run(t.receive) })
	return t, nil
}

// RoundTrip registers the request, sends it and waits. The caller's goroutine
// seals; the reader's opens, since only a reply that opens may end a call.
func (t *transport) RoundTrip(ctx context.Context, r *Request) (*Reply, error) {
	start := time.Now()
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = t.timeout
	}
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, deadline.Sub(start))
	}
	if err := ctx.Err(); err != nil || timeout <= 0 {
		return nil, t.over(ctx, r, &call{}, start)
	}
	timer := timers.Get().(*time.Timer)
	timer.Reset(timeout)
	defer func() {
		timer.Stop()
		timers.Put(timer)
	}()

	// Before a place is taken: a topic that brokers are slow to tell about must not
	// hold up calls to others.
	err := t.checkTopic(r.Topic)
	if err == nil {
		err = t.serving.check(r.Topic)
	}
	if err == nil {
		err = t.topics.find(ctx, start.Add(timeout), r.Topic)
	}
	switch {
	case errors.Is(err, errLate):
		return nil, t.over(ctx, r, &call{}, start)
	case err != nil:
		return nil, failed(r, err)
	}
	select {
	case t.unacked <- struct{}{}:
	default:
		select {
		case t.unacked <- struct{}{}:
		case <-timer.C:
			return nil, t.over(ctx, r, &call{}, start)
		case <-ctx.Done():
			return nil, t.over(ctx, r, &call{}, start)
		}
	}
	m, err := t.message(r, timeout, start)
	c := &call{topic: r.Topic, outcome: make(chan outcome, 1)}
	var waiting int
	if err == nil {
		waiting, err = t.pending.add(r.ID, c)
	}
	if err != nil {
		<-t.unacked
		return nil, failed(r, err)
	}
	t.producer.Send(m, waiting, func(_ kafka.Ack, err error) {
		<-t.unacked
		if err == nil {
			c.acked.Store(true)
		} else if t.pending.take(r.ID, c, false) {
			c.outcome <- outcome{err: err}
		}
	})

	select {
	case o := <-c.outcome:
		if o.err != nil {
			return o.reply, failed(r, o.err)
		}
		return o.reply, nil
	case <-timer.C:
	case <-ctx.Done():
	}
	if !t.pending.take(r.ID, c, false) {
		// The outcome came in the same moment.
		o := <-c.outcome
		if o.err != nil {
			return o.reply, failed(r, o.err)
		}
		return o.reply, nil
	}
	return nil, t.over(ctx, r, c, start)
}

// timers are stopped. A stopped timer has no value left in its channel.
var timers = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}}

// failed gives the error of a call that ended without a reply its type.
func failed(r *Request, err error) error {
	if errors.Is(err, ErrClosed) || errors.Is(err, kafka.ErrProducerClosed) {
		return fmt.Errorf("call %s, request %s: %w", r.Topic, r.ID, ErrClosed)
	}
	var rejected *RejectedError
	if errors.As(err, &rejected) {
		return err
	}
	return &SendError{RequestID: r.ID, Topic: r.Topic, Err: err}
}

// over is the error of a call whose time or context is over.
func (t *transport) over(ctx context.Context, r *Request, c *call, start time.Time) error {
	if err := ctx.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("call %s, request %s: %w", r.Topic, r.ID, context.Cause(ctx))
	}
	e := &TimeoutError{RequestID: r.ID, Topic: r.Topic, After: time.Since(start), Acknowledged: c.acked.Load()}
	if hint := c.hint.Load(); hint != nil {
		e.Hint = *hint
	} else if e.Acknowledged {
		e.Hint = "is a host running that serves this topic? `rrclient topics` tells"
	}
	return e
}

// Stats returns the counts so far.
func (t *transport) Stats() Stats {
	return Stats{
		Pending: t.pending.len(), Foreign: t.foreign.Load(), Duplicate: t.duplicate.Load(),
		Late: t.late.Load(), Forged: t.forged.Load(), Repositioned: t.replies.Repositioned(),
	}
}

// Close ends the calls under way with ErrClosed, then sends what was handed to
// the producer, waits for every goroutine and closes the connections.
func (t *transport) Close() error {
	t.closing.Do(func() {
		t.pending.close()
		var serving error
		t.reader.Go(func() { serving = t.serving.close() }) // it waits for a fetch, like the replies
		t.failure = errors.Join(t.producer.Close(), t.replies.Close())
		t.reader.Wait()
		t.failure = errors.Join(t.failure, serving)
	})
	return t.failure
}

func newID() string { return uuid.NewString() }
