package client

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/uuid"

	"rrhost/config"
	"rrhost/internal/envelope"
	"rrhost/internal/wire"
)

// ringOf is a ring with a new key that nobody else has.
func ringOf(t testing.TB) *envelope.Ring {
	t.Helper()
	key, err := envelope.ParseKey(envelope.GenerateKey())
	if err != nil {
		t.Fatal(err)
	}
	ring, err := envelope.NewRing(key)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestForeignReplies(t *testing.T) {
	_, cfg := broker(t)
	serve(t, cfg, func(h *host, q request) {
		other := q
		for range 20 {
			other.ID = uuid.NewString()
			h.answer(other, wire.StatusOK, []byte(`{"result":666}`))
		}
		h.send(&sarama.ProducerMessage{Topic: q.ReplyTo, Value: sarama.StringEncoder("noise")}, q.ReplyPartition)
		sums(h, q)
	})
	c := open1(t, cfg)
	got, err := Call[total](t.Context(), c, testTopic, sum{1, 2})
	if err != nil || got.Result != 3 {
		t.Fatalf("Call = %+v, %v", got, err)
	}
	if s := c.Stats(); s.Foreign != 21 || s.Forged != 0 {
		t.Errorf("Stats = %+v, want 21 foreign", s)
	}
}

func TestDuplicateAndLateReplies(t *testing.T) {
	_, cfg := broker(t)
	ended := make(chan struct{})
	var n atomic.Int64
	serve(t, cfg, func(h *host, q request) {
		if n.Add(1) == 1 {
			sums(h, q)
			sums(h, q)
			return
		}
		go func() {
			<-ended
			sums(h, q)
		}()
	})
	c := open1(t, cfg)
	if got, err := Call[total](t.Context(), c, testTopic, sum{1, 2}); err != nil || got.Result != 3 {
		t.Fatalf("Call = %+v, %v", got, err)
	}
	until(t, "duplicate counted", func() bool { return c.Stats().Duplicate == 1 })
	if _, err := Call[total](t.Context(), c, testTopic, sum{1, 2}, WithTimeout(200*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Call = %v, want a timeout", err)
	}
	close(ended)
	until(t, "late reply counted", func() bool { return c.Stats().Late == 1 })
	if s := c.Stats(); s != (Stats{Duplicate: 1, Late: 1}) {
		t.Errorf("Stats = %+v", s)
	}
}

// Whoever may write to the reply topic must not be able to end a call with an
// answer of his own, nor to keep the true one away.
func TestForgedReplies(t *testing.T) {
	_, cfg := broker(t)
	stranger := ringOf(t)
	serve(t, cfg, func(h *host, q request) {
		ok := []byte(`{"result":666}`)
		h.send(reply(stranger, q, wire.StatusOK, ok)) // another key
		h.send(reply(stranger, q, wire.StatusHandlerError, []byte(`{}`)))
		r := wire.Reply{Topic: q.Topic, RequestID: q.ID, Status: wire.StatusOK, Attempt: 1, Payload: []byte("not sealed")}
		h.send(record(&r, q.ReplyTo), q.ReplyPartition)
		r.Payload = nil
		h.send(record(&r, q.ReplyTo), q.ReplyPartition)
		// A true reply, edited: its status, its request topic, its attempt.
		r = wire.Reply{Topic: q.Topic, RequestID: q.ID, Status: wire.StatusOK, Attempt: 1}
		r.Payload = h.ring.Seal(nil, ok, r.AppendAbout(nil))
		edited := r
		edited.Status = wire.StatusHandlerError
		h.send(record(&edited, q.ReplyTo), q.ReplyPartition)
		edited = r
		edited.Attempt = 2
		h.send(record(&edited, q.ReplyTo), q.ReplyPartition)
		edited = r
		edited.Topic = "elsewhere"
		h.send(record(&edited, q.ReplyTo), q.ReplyPartition)
		// One that was the host's, to another request.
		other := q
		other.ID = uuid.NewString()
		m, part := reply(h.ring, other, wire.StatusOK, ok)
		for i, head := range m.Headers {
			if string(head.Key) == wire.HeaderRequestID {
				m.Headers[i].Value = []byte(q.ID)
			}
		}
		h.send(m, part)
		// The request itself, sent back.
		h.send(&sarama.ProducerMessage{Topic: q.ReplyTo, Value: sarama.ByteEncoder(q.Payload), Headers: q.Headers()}, part)
		// A status that no host writes, one twice, one with a body it cannot have.
		m, part = reply(h.ring, q, wire.StatusOK, ok)
		m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(wire.HeaderStatus), Value: []byte("ok")})
		h.send(m, part)
		m, part = reply(h.ring, q, wire.StatusMalformed, nil)
		m.Value = sarama.StringEncoder("x")
		h.send(m, part)
		sums(h, q)
	})
	c := open1(t, cfg)
	got, err := Call[total](t.Context(), c, testTopic, sum{1, 2})
	if err != nil || got.Result != 3 {
		t.Fatalf("Call = %+v, %v; want the host's 3", got, err)
	}
	if s := c.Stats(); s.Forged != 11 {
		t.Errorf("Stats = %+v, want 11 forged", s)
	}
}

// A host that seals with a key that the client lacks: its replies are not
// believed, but the timeout says why.
func TestHostSealsWithAnotherKey(t *testing.T) {
	_, cfg := broker(t)
	other := ringOf(t)
	serve(t, cfg, func(h *host, q request) { h.send(reply(other, q, wire.StatusOK, []byte(`{}`))) })
	c := open1(t, cfg)
	_, err := Call[total](t.Context(), c, testTopic, sum{}, WithTimeout(2*time.Second)) // in which the reply comes
	var timeout *TimeoutError
	if !errors.As(err, &timeout) {
		t.Fatalf("Call = %v, want a timeout", err)
	}
	mentions(t, err, other.ActiveID().String(), "ENCRYPTION_KEY")
}

// A host that cannot open the request says so at once.
func TestHostLacksTheKey(t *testing.T) {
	_, cfg := broker(t)
	theirs := cfg
	theirs.Encryption.Key = config.Secret(envelope.GenerateKey())
	serve(t, theirs, func(h *host, q request) {
		if !errors.Is(q.err, envelope.ErrUndecryptable) {
			t.Errorf("the host opened it: %v", q.err)
		}
		h.answer(q, wire.StatusUndecryptable, nil)
	})
	c := open1(t, cfg)
	start := time.Now()
	_, err := Call[total](t.Context(), c, testTopic, sum{})
	var rejected *RejectedError
	if !errors.As(err, &rejected) || rejected.Authenticated || rejected.Status != StatusUndecryptable {
		t.Fatalf("Call = %#v", err)
	}
	ring, _ := cfg.Ring()
	mentions(t, err, ring.ActiveID().String(), "ENCRYPTION_KEY", "not authenticated", rejected.RequestID)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("told after %v", took)
	}
}
