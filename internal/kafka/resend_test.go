package kafka

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/eapache/go-resiliency/breaker"
)

// What requesters misspell must not stay in memory: a topic is remembered as
// absent for as long as sarama may not look, and no longer.
func TestAbsentTopicsAreForgotten(t *testing.T) {
	p := &Producer{limit: 1 << 20}
	r := &resend{p: p, missing: map[string]absence{}}
	now := time.Now()
	// decide is the end of a message to topic, nil while it will be sent again.
	decide := func(topic string, err error) (end error) {
		p.open.Add(1)
		m := &sarama.ProducerMessage{Topic: topic, Metadata: &flight{first: now, done: func(_ Ack, err error) { end = err }}}
		if !r.decide(m, err, now).IsZero() {
			p.open.Done()
		}
		return end
	}
	for i := range 100 {
		topic := fmt.Sprint("absent-", i)
		if err := decide(topic, sarama.ErrUnknownTopicOrPartition); !errors.Is(err, ErrNoTopic) {
			t.Fatalf("%s: %v", topic, err)
		}
		now = now.Add(time.Second)
		if err := decide(topic, breaker.ErrBreakerOpen); !errors.Is(err, ErrNoTopic) {
			t.Fatalf("%s, while sarama does not look: %v, want that there is none", topic, err)
		}
	}
	if err := decide("absent-50", breaker.ErrBreakerOpen); err != nil {
		t.Errorf("long after the answer: %v, want another try", err)
	}
	if n, most := len(r.missing), int(breakerOpen/time.Second)+1; n > most {
		t.Errorf("%d topics are remembered, want at most the %d of the last %s", n, most, breakerOpen)
	}
	p.open.Wait()
}
