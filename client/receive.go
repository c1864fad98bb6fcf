package client

import (
	"errors"
	"fmt"

	"github.com/IBM/sarama"

	"rrhost/internal/envelope"
	"rrhost/internal/wire"
)

// receive looks at one record of the reply partition. It runs on the reader's
// goroutine. What is not for a pending call costs a look at its headers.
func (t *transport) receive(m *sarama.ConsumerMessage) {
	id := wire.RequestIDOf(m.Headers)
	c, was := t.pending.find(id)
	switch {
	case c != nil:
	case was.answered:
		t.duplicate.Add(1)
		return
	case was.id != "":
		t.late.Add(1)
		return
	default:
		t.foreign.Add(1)
		return
	}
	reply, err := t.open(c, m)
	if err != nil {
		// Anyone who may write to the topic could have sent it. Whatever it
		// says, the call goes on.
		t.forged.Add(1)
		if hint := hintOfUnopened(err); hint != "" {
			c.hint.Store(&hint)
		}
		return
	}
	if !t.pending.take(reply.RequestID, c, true) {
		t.late.Add(1)
		return
	}
	o := outcome{reply: reply}
	if !reply.Status.Authenticated() {
		o.err = t.unauthenticated(reply)
	}
	c.outcome <- o
}

// open reads and opens a reply to c.
func (t *transport) open(c *call, m *sarama.ConsumerMessage) (*Reply, error) {
	r, err := wire.DecodeReply(m)
	if err != nil {
		return nil, err
	}
	if r.Topic != c.topic {
		return nil, errors.New("the reply is of another topic")
	}
	reply := &Reply{RequestID: r.RequestID, Topic: r.Topic, Status: r.Status, Attempt: r.Attempt, Duration: r.Duration, Plugin: r.Plugin}
	if !r.Status.Authenticated() {
		return reply, nil
	}
	t.about = r.AppendAbout(t.about[:0])
	if reply.Payload, err = t.ring.Open(nil, r.Payload, t.about); err != nil {
		return nil, err
	}
	return reply, nil
}

// hintOfUnopened says what a reply gave away that did not open: sealed with a
// key of which this client does not know, it may well be the host's.
func hintOfUnopened(err error) string {
	var unknown *envelope.UnknownKeyError
	if !errors.As(err, &unknown) {
		return ""
	}
	return fmt.Sprintf("a reply came that is sealed with key %s, which is not in this client's ring: compare ENCRYPTION_KEY, or encryption.key and encryption.open, with the host's", unknown.ID)
}

// unauthenticated is the error of a reply that cannot prove who sent it, since
// its sender could not read the request.
func (t *transport) unauthenticated(r *Reply) error {
	e := &RejectedError{RequestID: r.RequestID, Topic: r.Topic, Status: r.Status, Hint: hintOf(r.Status)}
	if r.Status == StatusUndecryptable {
		e.Message = "the host could not open the request"
		e.Hint = fmt.Sprintf("this client seals with key %s: compare ENCRYPTION_KEY, or encryption.key, here and at the host", t.ring.ActiveID())
	} else {
		e.Message = "the host could not read the request's headers"
	}
	return e
}
