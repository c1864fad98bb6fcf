package discovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"rrhost/internal/kafka"
)

const (
	// settle is how long a change waits for company: a plugin that comes up
	// goes through several.
	settle = 200 * time.Millisecond
	// goodbyeMost bounds how long the end of a host waits for its goodbye.
	goodbyeMost = 5 * time.Second
)

// A Publisher announces one host. Its fields are set before Run.
type Publisher struct {
	// Topic is the control topic.
	Topic string
	// Send is [kafka.Producer.SendTo].
	Send func(partition int32, m *sarama.ProducerMessage, waiting int, done func(kafka.Ack, error))
	// Now is what there is to announce. Its Host is always the same.
	Now func() Announcement
	// Failed is told when an announcement did not get through, once until one
	// does.
	Failed func(error)

	changed chan struct{}
}

// NewPublisher makes a publisher without its fields.
func NewPublisher() *Publisher { return &Publisher{changed: make(chan struct{}, 1)} }

// Changed says that there may be something new to announce. It never blocks.
func (p *Publisher) Changed() {
	select {
	case p.changed <- struct{}{}:
	default: // it will look anyway
	}
}

// Run announces at once, after changes, and every [Period]. When ctx is done it
// says goodbye and returns.
func (p *Publisher) Run(ctx context.Context) {
	var said []byte // without counters
	failing := false
	tick := time.NewTicker(Period)
	defer tick.Stop()
	for {
		a := p.Now()
		// Before the wait: what changes during it is found by the next look.
		say, err := essence(a)
		if err == nil {
			err = p.announce(ctx, a)
		}
		if err == nil {
			said, failing = say, false
		} else if ctx.Err() == nil && !failing {
			failing = true
			p.Failed(err)
		}
		if p.await(ctx, tick.C, func() bool {
			now, err := essence(p.Now())
			return err == nil && !bytes.Equal(now, said)
		}) {
			continue
		}
		p.goodbye(context.WithoutCancel(ctx), a.Host)
		return
	}
}

// await returns true when it is time to announce, and false when ctx is done.
func (p *Publisher) await(ctx context.Context, tick <-chan time.Time, news func() bool) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick:
			return true
		case <-p.changed:
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(settle):
		}
		if news() {
			return true
		}
	}
}

// essence is what a change of which is news: all but the counters.
func essence(a Announcement) ([]byte, error) {
	topics := make([]Topic, len(a.Topics))
	for i, t := range a.Topics {
		t.Counters = Counters{Partitions: t.Counters.Partitions}
		topics[i] = t
	}
	a.Topics = topics
	return a.Encode()
}

func (p *Publisher) announce(ctx context.Context, a Announcement) error {
	value, err := a.Encode()
	if err != nil {
		return err
	}
	return p.send(ctx, a.Host, sarama.ByteEncoder(value))
}

// goodbye takes the announcement back: a tombstone, which a compacted topic
// forgets in time.
func (p *Publisher) goodbye(ctx context.Context, host string) {
	ctx, cancel := context.WithTimeout(ctx, goodbyeMost)
	defer cancel()
	if err := p.send(ctx, host, nil); err != nil {
		p.Failed(fmt.Errorf("take it back: %w", err))
	}
}

// send waits for the broker's word, so that a host's records stay in order.
func (p *Publisher) send(ctx context.Context, host string, value sarama.Encoder) error {
	done := make(chan error, 1)
	m := &sarama.ProducerMessage{Topic: p.Topic, Key: sarama.StringEncoder(host), Value: value}
	p.Send(0, m, 0, func(_ kafka.Ack, err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.Join(errors.New("no acknowledgement in time"), context.Cause(ctx))
	}
}
