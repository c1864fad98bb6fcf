package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"rrhost/client"
	"rrhost/internal/wire"
)

// An order is a request to the test plugin's work, and a report is its answer.
type order struct {
	Do    string `json:"do,omitempty"`
	MS    int    `json:"ms,omitempty"`
	Once  bool   `json:"once,omitempty"`
	Code  string `json:"code,omitempty"`
	Text  string `json:"text,omitempty"`
	Nonce string `json:"nonce"`
}

type report struct {
	Nonce       string `json:"nonce"`
	F           string `json:"f"`
	Attempt     int    `json:"attempt"`
	Redelivered bool   `json:"redelivered"`
	RequestID   string `json:"request_id"`
	PID         int    `json:"pid"`
}

// f is what work does with a nonce.
func f(nonce string) string {
	sum := sha256.Sum256([]byte(nonce))
	return hex.EncodeToString(sum[:])
}

// A call is one request that was sent, and what came of it.
type call struct {
	id, nonce string
	report    report
	err       error
}

// wrong says what a call got that is not the answer to its request.
func (c *call) wrong() string {
	switch {
	case c.err != nil:
		return c.err.Error()
	case c.report.Nonce != c.nonce || c.report.F != f(c.nonce) || c.report.RequestID != c.id:
		return fmt.Sprintf("sent nonce %s, got %+v", c.nonce, c.report)
	}
	return ""
}

// unsent says whether a call failed because Kafka did not acknowledge its
// request, as far as its client knows.
func (c *call) unsent() bool {
	var send *client.SendError
	var timeout *client.TimeoutError
	return errors.As(c.err, &send) || errors.As(c.err, &timeout) && !timeout.Acknowledged
}

// A load keeps many requests in flight until it is stopped.
type load struct {
	t      *testing.T
	client *client.Client
	topic  string

	ended   atomic.Int64 // calls that have
	retried atomic.Int64 // of them, answered at a second attempt
	pid     atomic.Int64 // of the plugin that answered last
	stop    chan struct{}
	over    sync.WaitGroup

	mu    sync.Mutex
	calls []call
}

// patience is how long a call under load waits for its reply.
const patience = 120 * time.Second

// startLoad keeps n requests like o in flight, each with a nonce of its own and o.MS
// as the mean of theirs, and returns once at least atLeast are and some have been
// answered.
func startLoad(s *site, topic string, n, atLeast int, o order) *load {
	s.t.Helper()
	l := &load{t: s.t, client: s.client(), topic: topic, stop: make(chan struct{})}
	for i := range n {
		own := o
		own.MS = o.MS/2 + o.MS*i/n // else all would begin and end together
		l.over.Go(func() { l.work(own) })
	}
	s.t.Cleanup(func() { l.finish() })
	l.awaitMore(n)
	until(s.t, 30*time.Second, func() string {
		if pending := l.client.Stats().Pending; pending < atLeast {
			return fmt.Sprintf("%d requests are in flight, want %d", pending, atLeast)
		}
		return ""
	})
	return l
}

func (l *load) work(o order) {
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		c := call{id: uuid.NewString(), nonce: uuid.NewString()}
		o.Nonce = c.nonce
		c.report, c.err = client.Call[report](context.Background(), l.client, l.topic, o, client.WithRequestID(c.id), client.WithTimeout(patience))
		if c.err == nil {
			if c.report.Attempt > 1 {
				l.retried.Add(1)
			}
			l.pid.Store(int64(c.report.PID))
		} else {
			time.Sleep(50 * time.Millisecond) // where there is no broker, calls fail at once
		}
		l.mu.Lock()
		l.calls = append(l.calls, c)
		l.mu.Unlock()
		l.ended.Add(1)
	}
}

// awaitMore waits for the end of n more calls.
func (l *load) awaitMore(n int) {
	l.t.Helper()
	begun := l.ended.Load()
	until(l.t, patience, func() string {
		if got := l.ended.Load() - begun; got < int64(n) {
			return fmt.Sprintf("%d more calls have ended, want %d", got, n)
		}
		return ""
	})
}

// finish sends no more, waits for what is in flight, and returns all calls.
func (l *load) finish() []call {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.over.Wait()
	return l.calls
}

// checkCalls compares what was sent, answered and stored, one by one: every
// request whose produce was acknowledged has its own answer, the log holds what
// was sent and an outcome for each, all is committed, and the trail has it all.
func (s *site) checkCalls(topic string, calls []call) {
	t := s.t
	t.Helper()
	acknowledged := make(map[string]bool, len(calls)) // by request id
	wrong, unsent := 0, 0
	for _, c := range calls {
		if s.backend.embedded && c.unsent() {
			unsent++
			acknowledged[c.id] = false
			if !strings.Contains(c.err.Error(), c.id) {
				t.Errorf("the error of request %s does not name it: %v", c.id, c.err)
			}
			continue
		}
		acknowledged[c.id] = true
		if problem := c.wrong(); problem != "" {
			if wrong++; wrong <= 5 {
				t.Errorf("request %s: %s", c.id, problem)
			}
		}
	}
	t.Logf("%d calls: %d wrong, %d not acknowledged by Kafka", len(calls), wrong, unsent)
	if wrong > 5 {
		t.Errorf("and %d more", wrong-5)
	}
	s.awaitCommitted(topic)

	log, _ := s.checkTrail()
	requests, answered := make(map[string]int), make(map[string]bool)
	for _, r := range log {
		id := header(r, wire.HeaderRequestID)
		switch {
		case r.Topic == topic:
			requests[id]++
		case r.Topic == s.cfg.Replies.Topic && header(r, wire.HeaderStatus) == string(wire.StatusOK):
			answered[id] = true
		default:
			t.Errorf("the log has a record in %s with status %q", r.Topic, header(r, wire.HeaderStatus))
		}
	}
	for id, acked := range acknowledged {
		switch n := requests[id]; {
		case acked && n == 0:
			t.Errorf("request %s was acknowledged and is not in the log", id)
		case n > 1 && !s.backend.embedded:
			t.Errorf("request %s is in the log %d times", id, n)
		case n > 0 && !answered[id]:
			t.Errorf("request %s has no ok reply in the log", id)
		}
		delete(requests, id)
	}
	for id := range requests {
		t.Errorf("the log has a request %s that nobody sent", id)
	}
}

// mustJSON is v as JSON.
func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
