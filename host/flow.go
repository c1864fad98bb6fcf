package host

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/time/rate"

	"rrhost/config"
	"rrhost/host/internal/admin"
	"rrhost/host/internal/dispatch"
	"rrhost/host/internal/intake"
	"rrhost/host/internal/reply"
	"rrhost/internal/envelope"
	"rrhost/internal/handler"
	"rrhost/internal/wire"
)

// A flow is the way of every request through the host, written down once:
//
//	intake → decode → open → dispatch → seal → reply → settle
//	                └ what cannot be read or answered → dead letter → settle
//	                  (and, beside its reply, what killed its plugin)
//
// Each step hands its result to the next. No step waits: what takes time calls
// the next step when it is done.
type flow struct {
	topics     map[string]*topic
	ring       *envelope.Ring
	writer     *reply.Writer
	addresses  *addresses          // for replies
	maxPayload int                 // of requests, opened, in bytes
	answered   func(Answered)      // for developers; nil: nobody is
	pong       func(*topic) []byte // the answer to a ping
	logger     hclog.Logger
	inflight   atomic.Int64
}

// A topic is a [[topic]] with what serves it.
type topic struct {
	config.Topic
	server  *server
	lane    *dispatch.Lane
	metrics *admin.TopicMetrics
	log     *rate.Limiter // of failed requests
}

// A request is one record on its way.
type request struct {
	*flow
	topic   *topic
	message *intake.Message
	wire    wire.Request
	job     *dispatch.Job // nil if it never got that far
	payload []byte        // opened; nil unless somebody is told of it

	begun, finished time.Time
	outcome         dispatch.Outcome
}

// aboutPool has scratch space for what a seal is bound to.
var aboutPool = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// serve takes a message from the intake through the first half of its way. What
// the returned work is told reaches the dispatcher.
func (f *flow) serve(m *intake.Message) intake.Work {
	f.inflight.Add(1)
	r := &request{flow: f, topic: f.topics[m.Topic], message: m, begun: time.Now()}

	var err error
	if r.wire, err = wire.DecodeRequest(m.ConsumerMessage); err != nil {
		r.refuse(wire.StatusMalformed, err)
		return r
	}
	payload, err := r.open()
	if err != nil {
		r.refuse(wire.StatusUndecryptable, err)
		return r
	}
	if f.answered != nil {
		r.payload = payload
	}
	if r.wire.ReplyTo != "" && !f.addresses.has(r.wire.ReplyTo, r.wire.ReplyPartition) {
		p := &pending{request: r, payload: payload}
		f.addresses.ask(r.wire.ReplyTo, r.wire.ReplyPartition, m.Received, r.deadline(), p.answer)
		return p
	}
	r.begin(payload)
	return r
}

// begin brings a request that can be answered to the dispatcher, unless it ends
// before.
func (r *request) begin(payload []byte) {
	if old := r.topic.MaxAge; old > 0 && r.begun.Sub(r.wire.Sent) > old {
		r.finish(dispatch.Outcome{Status: wire.StatusExpired, Error: wire.ErrorBody{
			Code: string(wire.StatusExpired), Message: "the request is older than max_age",
		}})
		return
	}
	if r.wire.Op == wire.OpPing {
		r.answerPing()
		return
	}
	if len(payload) > r.maxPayload { // more than the connection to a plugin may take
		r.finish(dispatch.Outcome{Status: wire.StatusInvalidPayload, Error: wire.ErrorBody{
			Code:    string(wire.StatusInvalidPayload),
			Message: fmt.Sprintf("the payload has %d bytes; the host's max_payload is %d", len(payload), r.maxPayload),
		}})
		return
	}
	r.job = r.topic.lane.Start(dispatch.Request{
		Info: handler.Info{
			RequestID: r.wire.ID, Topic: r.wire.Topic, Redelivered: r.message.Redelivered,
			Traceparent: r.wire.Traceparent, Tracestate: r.wire.Tracestate,
		},
		Payload:     payload,
		Deadline:    r.deadline(),
		MaxAttempts: r.topic.MaxAttempts,
	}, r.finish)
}

// answerPing ends the way of a request to the host itself.
func (r *request) answerPing() {
	if !r.begun.Before(r.deadline()) {
		r.finish(dispatch.Outcome{Status: wire.StatusExpired, Error: wire.ErrorBody{
			Code: string(wire.StatusExpired), Message: "the ping came too late",
		}})
		return
	}
	r.finish(dispatch.Outcome{Status: wire.StatusOK, Payload: r.pong(r.topic)})
}

// open decrypts the payload.
func (r *request) open() ([]byte, error) {
	about := aboutPool.Get().(*[]byte)
	defer aboutPool.Put(about)
	*about = r.wire.AppendAbout((*about)[:0])
	return r.ring.Open(nil, r.wire.Payload, *about)
}

// deadline is until when the requester waits, and the topic allows, on this
// host's clock.
func (r *request) deadline() time.Time {
	sent := r.writer.Clock().Local(r.message.Timestamp, r.begun)
	return sent.Add(min(r.wire.Timeout, r.topic.Timeout))
}

// finish takes the outcome through the second half of the way.
func (r *request) finish(o dispatch.Outcome) {
	if o.Dropped {
		r.drop()
		return
	}
	r.finished = time.Now()
	r.outcome = o
	if o.Status != wire.StatusOK {
		r.logFailure(o)
	}
	if o.Status == wire.StatusPluginCrashed {
		r.bury(o)
		return
	}
	r.writer.Reply(r.message.Context(), &r.wire, o, int(r.inflight.Load()), r.replied)
}

// bury ends the way of a request that killed its plugin as often as it may be
// tried: it is answered, and kept beside its topic for whoever looks for the
// reason.
func (r *request) bury(o dispatch.Outcome) {
	both := &pair{request: r, reason: o.Status}
	both.waits.Store(2)
	r.writer.Reply(r.message.Context(), &r.wire, o, int(r.inflight.Load()), func(status wire.Status, err error) {
		if err == nil {
			r.topic.metrics.Replied(status, r.message.Received, r.begun, r.finished)
		}
		both.done(err)
	})
	both.bury()
}

// replied ends the way of a request that was answered.
func (r *request) replied(status wire.Status, err error) {
	if err != nil { // its claim has ended: whoever gets the partition answers
		r.drop()
		return
	}
	if r.wire.Op == "" {
		r.topic.metrics.Replied(status, r.message.Received, r.begun, r.finished)
		r.tell(status)
	}
	r.settle()
}

// refuse ends the way of what cannot be read or must not be answered: a dead
// letter and, where the requester can be told, an unsealed reply beside it.
func (r *request) refuse(reason wire.Status, cause error) {
	if r.topic.log.Allow() {
		r.logger.Warn("request refused", "reason", reason, "topic", r.message.Topic, "partition", r.message.Partition,
			"offset", r.message.Offset, "request_id", r.wire.ID, "error", cause)
	}
	ctx := r.message.Context()
	both := &pair{request: r, reason: reason}
	both.waits.Store(1)
	if reason.Valid() && r.wire.ID != "" && r.wire.ReplyTo != "" && r.addresses.has(r.wire.ReplyTo, r.wire.ReplyPartition) {
		both.waits.Store(2)
		r.writer.Unsealed(ctx, &r.wire, reason, func(sent bool, err error) {
			if sent {
				r.topic.metrics.RepliedUnsealed(reason)
			}
			both.done(err)
		})
	}
	both.bury()
}

// A pair ends a request when all records that it waits for are acknowledged, or
// given up.
type pair struct {
	request *request
	reason  wire.Status
	waits   atomic.Int32
	failed  atomic.Bool
}

// bury writes the dead letter, which is one of the records that p waits for.
func (p *pair) bury() {
	r := p.request
	r.writer.DeadLetter(r.message.Context(), r.message.ConsumerMessage, p.reason, func(err error) {
		if err == nil {
			r.topic.metrics.DeadLettered(p.reason)
		}
		p.done(err)
	})
}

func (p *pair) done(err error) {
	if err != nil {
		p.failed.Store(true)
	}
	if p.waits.Add(-1) > 0 {
		return
	}
	if p.failed.Load() {
		p.request.drop()
		return
	}
	p.request.tell(p.reason)
	p.request.settle()
}

// settle lets the committed offset move past the request and frees its slot.
func (r *request) settle() {
	r.inflight.Add(-1)
	r.message.Settle()
}

// drop frees the slot of a request that has no outcome here.
func (r *request) drop() {
	r.inflight.Add(-1)
	r.message.Drop()
}

// Revoke and Abandon make a request the intake's [intake.Work].
func (r *request) Revoke() {
	if r.job != nil {
		r.job.Revoke()
	}
}

func (r *request) Abandon() {
	if r.job != nil {
		r.job.Abandon()
	}
}

// A pending request waits to know whether the partition where it wants its reply
// exists.
type pending struct {
	*request
	payload []byte

	mu   sync.Mutex // guards over, and the request until then
	over bool       // it waits no more
}

func (p *pending) answer(exists bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.over:
	case exists:
		p.begin(p.payload)
	default:
		p.refuse(wire.StatusReplyNotAllowed, nil)
	}
	p.over = true
}

func (p *pending) Revoke() {
	if p.end() {
		p.request.Revoke()
	}
}

func (p *pending) Abandon() {
	if p.end() {
		p.request.Abandon()
	}
}

// end drops p if it still waits, and reports whether it had ended before.
func (p *pending) end() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return true
	}
	p.over = true
	p.drop()
	return false
}

// logFailure says that a request failed, without the author's words: they may
// quote the payload. It is bounded, since a requester can fail as often as it
// likes.
func (r *request) logFailure(o dispatch.Outcome) {
	if r.topic.log.Allow() {
		r.logger.Warn("request failed", "status", o.Status, "topic", r.wire.Topic, "request_id", r.wire.ID,
			"plugin", o.Plugin, "attempt", o.Attempt, "duration", o.Duration)
	}
}
