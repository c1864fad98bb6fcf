// Package reply writes what came of a request to Kafka: replies, and dead letters
// for what could not be read or answered.
package reply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/hashicorp/go-hclog"
	"golang.org/x/time/rate"

	"rrhost/host/internal/dispatch"
	"rrhost/internal/envelope"
	"rrhost/internal/kafka"
	"rrhost/internal/wire"
)

// Config is what a [Writer] needs.
type Config struct {
	// Producer sends; the caller closes it, after the last outcome.
	Producer *kafka.Producer
	Ring     *envelope.Ring
	// Topics are those that a request may name in reply_to; the first takes the
	// replies that nobody waits for.
	Topics []string
	// MaxPayload bounds the plaintext of a reply, in bytes.
	MaxPayload int
	// MaxRecord bounds a dead letter that carries its value, in bytes.
	MaxRecord int
	Logger    hclog.Logger
}

// A Writer turns outcomes into acknowledged records.
type Writer struct {
	cfg      Config
	clock    Clock
	refusing atomic.Int32             // topics in refused, to look without the lock
	unsealed map[string]*rate.Limiter // by reply topic
	retries  sync.WaitGroup

	mu      sync.Mutex         // guards refused
	refused map[string]refusal // topics that do not take records now, by name
}

type refusal struct {
	since time.Time
	err   error
}

// New makes a writer.
func New(cfg Config) *Writer {
	w := &Writer{cfg: cfg, refused: make(map[string]refusal), unsealed: make(map[string]*rate.Limiter)}
	for _, topic := range cfg.Topics {
		w.unsealed[topic] = rate.NewLimiter(10, 10)
	}
	return w
}

// Wait returns when nothing waits to be sent again. It is called once the
// contexts of all sends have ended and the producer is closed: nothing begins to
// wait any more.
func (w *Writer) Wait() { w.retries.Wait() }

// Clock is the broker's clock, as learnt from acknowledgements.
func (w *Writer) Clock() *Clock { return &w.clock }

// Refusals lists the topics that do not take records now, and why.
func (w *Writer) Refusals() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make(map[string]string, len(w.refused))
	for topic, r := range w.refused {
		out[topic] = fmt.Sprintf("refused since %s: %v", r.since.UTC().Format(time.RFC3339), r.err)
	}
	return out
}

// Reply answers req. done is called once: with the status that was replied when
// Kafka has acknowledged it, or with ctx's cause when ctx ended first. waiting is
// how many requests are in flight, which decides how the reply is batched.
func (w *Writer) Reply(ctx context.Context, req *wire.Request, o dispatch.Outcome, waiting int, done func(wire.Status, error)) {
	body := o.Payload
	if o.Status == wire.StatusOK && len(body) > w.cfg.MaxPayload {
		body = nil
		o.Status = wire.StatusReplyTooLarge
		o.Error = wire.ErrorBody{
			Code:    string(wire.StatusReplyTooLarge),
			Message: fmt.Sprintf("the response has %d bytes; max_payload is %d", len(o.Payload), w.cfg.MaxPayload),
		}
	}
	if o.Status != wire.StatusOK {
		body = w.errorBody(o.Error)
	}
	w.send(&sending{ctx: ctx, req: req, message: w.seal(req, o, body), waiting: waiting, done: func(err error) {
		if !errors.Is(err, kafka.ErrTooLarge) {
			done(o.Status, err)
			return
		}
		// The topic takes less than max_payload.
		o.Status = wire.StatusReplyTooLarge
		o.Error = wire.ErrorBody{Code: string(o.Status), Message: "the reply is larger than its topic takes"}
		w.send(&sending{ctx: ctx, req: req, message: w.seal(req, o, w.errorBody(o.Error)), waiting: waiting, last: true,
			done: func(err error) { done(o.Status, err) }})
	}})
}

// errorBody encodes e; what is too large for a reply loses its details, then the
// end of its message.
func (w *Writer) errorBody(e wire.ErrorBody) []byte {
	body, err := json.Marshal(e)
	if err == nil && len(body) <= w.cfg.MaxPayload {
		return body
	}
	const enough = 1024
	body, err = json.Marshal(wire.ErrorBody{Code: cut(e.Code, enough), Message: cut(e.Message, enough)})
	if err != nil { // strings always encode
		panic(err)
	}
	return body
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n]
}

func (w *Writer) seal(req *wire.Request, o dispatch.Outcome, body []byte) *sarama.ProducerMessage {
	rep := w.replyTo(req, o)
	about := rep.AppendAbout(make([]byte, 0, 256))
	rep.Payload = w.cfg.Ring.Seal(make([]byte, 0, len(body)+envelope.Overhead), body, about)
	return w.record(req, &rep)
}

func (w *Writer) replyTo(req *wire.Request, o dispatch.Outcome) wire.Reply {
	return wire.Reply{
		Topic: req.Topic, RequestID: req.ID, Op: req.Op, Status: o.Status, Attempt: o.Attempt,
		Duration: o.Duration, Plugin: o.Plugin, Traceparent: req.Traceparent, Tracestate: req.Tracestate,
	}
}

func (w *Writer) record(req *wire.Request, rep *wire.Reply) *sarama.ProducerMessage {
	m := &sarama.ProducerMessage{Topic: req.ReplyTo, Headers: rep.Headers(), Value: sarama.ByteEncoder(rep.Payload)}
	if m.Topic == "" {
		m.Topic = w.cfg.Topics[0]
	}
	return m
}

// Unsealed answers req with a status and no body, where its payload could not be
// opened or its headers not be read. It sends at most ten a second to a topic,
// or the host would be a reflector; beyond that done is called at once, with
// sent false.
func (w *Writer) Unsealed(ctx context.Context, req *wire.Request, status wire.Status, done func(sent bool, err error)) {
	if limit := w.unsealed[req.ReplyTo]; limit == nil || !limit.Allow() {
		done(false, nil)
		return
	}
	rep := w.replyTo(req, dispatch.Outcome{Status: status})
	w.send(&sending{ctx: ctx, req: req, message: w.record(req, &rep), last: true, done: func(err error) { done(err == nil, err) }})
}

// DeadLetter writes m to its topic's dead letters, without its value where that
// is more than the topic takes.
func (w *Writer) DeadLetter(ctx context.Context, m *sarama.ConsumerMessage, reason wire.Status, done func(error)) {
	w.send(&sending{ctx: ctx, message: wire.NewDeadLetter(m, reason, w.cfg.MaxRecord), done: func(err error) {
		if errors.Is(err, kafka.ErrTooLarge) {
			w.send(&sending{ctx: ctx, message: wire.NewDeadLetter(m, reason, 0), last: true, done: done})
			return
		}
		done(err)
	}})
}

const (
	minRetry = 250 * time.Millisecond
	maxRetry = 10 * time.Second
)

// A sending is one record on its way to Kafka.
type sending struct {
	ctx     context.Context
	req     *wire.Request // whose requester gets it at its partition; nil: any partition
	message *sarama.ProducerMessage
	waiting int
	last    bool // there is nothing smaller to send instead
	wait    time.Duration
	// done is called once: nil when Kafka has acknowledged the record, else ctx's
	// cause, or [kafka.ErrTooLarge] unless last.
	done func(error)
}

// send sends s until Kafka acknowledges it or its context ends.
func (w *Writer) send(s *sending) {
	s.wait = minRetry
	w.try(s)
}

func (w *Writer) try(s *sending) {
	acked := func(ack kafka.Ack, err error) { w.acked(s, ack, err) }
	if s.req != nil && s.req.ReplyTo != "" {
		w.cfg.Producer.SendTo(s.req.ReplyPartition, s.message, s.waiting, acked)
	} else {
		w.cfg.Producer.Send(s.message, s.waiting, acked)
	}
}

func (w *Writer) acked(s *sending, ack kafka.Ack, err error) {
	switch {
	case err == nil:
		if !ack.Broker.IsZero() {
			w.clock.Observe(ack.Sent, ack.Acked, ack.Broker)
		}
		if w.refusing.Load() > 0 {
			w.accepted(s.message.Topic)
		}
	case errors.Is(err, kafka.ErrTooLarge) && !s.last:
	case s.ctx.Err() != nil:
		err = context.Cause(s.ctx)
	default:
		w.refuse(s.message.Topic, err, s.wait)
		w.later(s)
		return
	}
	s.done(err)
}

// later tries s again after its wait, or at once when its context ends.
func (w *Writer) later(s *sending) {
	w.retries.Go(func() {
		timer := time.NewTimer(s.wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.ctx.Done():
		}
		s.wait = min(2*s.wait, maxRetry)
		w.try(s)
	})
}

// refuse notes that a topic does not take records.
func (w *Writer) refuse(topic string, err error, wait time.Duration) {
	w.mu.Lock()
	r, known := w.refused[topic]
	if !known {
		r.since = time.Now()
	}
	r.err = err
	w.refused[topic] = r
	w.refusing.Store(int32(len(w.refused)))
	w.mu.Unlock()
	if !known {
		w.cfg.Logger.Error("a topic does not take records; trying again", "topic", topic, "error", err, "wait", wait)
	}
}

func (w *Writer) accepted(topic string) {
	w.mu.Lock()
	_, was := w.refused[topic]
	delete(w.refused, topic)
	w.refusing.Store(int32(len(w.refused)))
	w.mu.Unlock()
	if was {
		w.cfg.Logger.Info("the topic takes records again", "topic", topic)
	}
}
