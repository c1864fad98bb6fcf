package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/hashicorp/go-hclog"
)

// addresses knows to which topics and partitions the host may reply. It asks the
// broker when the host starts, and again in the background where a request names
// a partition beyond those known: topics grow rarely, and requests can name
// anything.
type addresses struct {
	partitions func(topic string) ([]int32, error) // fresh from the broker
	logger     hclog.Logger
	known      map[string]*atomic.Int32 // partitions of each topic; the map does not change
	wake       chan struct{}            // capacity 1

	mu      sync.Mutex // guards what follows
	waiting []question
	begun   map[string]time.Time // when the broker was asked for what it answered last
}

// A question is whether there is a partition of a topic meanwhile.
type question struct {
	topic     string
	partition int32
	until     time.Time // no answer by then is one
	answer    func(bool)
}

// askAgain is how often the broker is asked at the most.
const askAgain = time.Second

func newAddresses(topics []string, partitions func(string) ([]int32, error), logger hclog.Logger) (*addresses, error) {
	a := &addresses{
		partitions: partitions, logger: logger,
		known: make(map[string]*atomic.Int32), wake: make(chan struct{}, 1), begun: make(map[string]time.Time),
	}
	for _, topic := range topics {
		a.known[topic] = new(atomic.Int32)
		if err := a.refresh(topic); err != nil {
			return nil, fmt.Errorf("reply topic %s: %w", topic, err)
		}
	}
	return a, nil
}

func (a *addresses) refresh(topic string) error {
	begun := time.Now()
	switch list, err := a.partitions(topic); {
	case err == nil:
		a.known[topic].Store(int32(len(list)))
	case errors.Is(err, sarama.ErrUnknownTopicOrPartition) && a.known[topic].Load() > 0:
		// Deleted: it has no other partitions than those that were known.
	default:
		return err
	}
	a.mu.Lock()
	a.begun[topic] = begun
	a.mu.Unlock()
	return nil
}

// has reports whether replies may go to a partition of a topic, as far as is known.
func (a *addresses) has(topic string, partition int32) bool {
	known := a.known[topic]
	return known != nil && 0 <= partition && partition < known.Load()
}

// ask answers what has does once the broker was asked after since, when somebody
// knew of the partition: at once if it was, else after a second or, where it does
// not answer, until until.
func (a *addresses) ask(topic string, partition int32, since, until time.Time, answer func(bool)) {
	a.mu.Lock()
	conclusive := a.known[topic] == nil || partition < 0 || a.begun[topic].After(since)
	if !conclusive {
		a.waiting = append(a.waiting, question{topic, partition, until, answer})
	}
	a.mu.Unlock()
	if conclusive {
		answer(a.has(topic, partition))
		return
	}
	a.again()
}

func (a *addresses) again() {
	select {
	case a.wake <- struct{}{}:
	default: // it is awake already
	}
}

// run answers questions until ctx is done.
func (a *addresses) run(ctx context.Context) {
	for {
		select {
		case <-a.wake:
		case <-ctx.Done():
			return
		}
		a.answer()
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return
		}
	}
}

func (a *addresses) answer() {
	a.mu.Lock()
	questions := a.waiting
	a.waiting = nil
	a.mu.Unlock()
	var left []question
	asked := make(map[string]error)
	for _, q := range questions {
		err, done := asked[q.topic]
		if !done {
			if err = a.refresh(q.topic); err != nil {
				a.logger.Warn("cannot ask for the partitions of a reply topic; trying again", "topic", q.topic, "error", err)
			}
			asked[q.topic] = err
		}
		if err != nil && time.Now().Before(q.until) {
			left = append(left, q)
			continue
		}
		q.answer(a.has(q.topic, q.partition))
	}
	if left != nil {
		a.mu.Lock()
		a.waiting = append(a.waiting, left...)
		a.mu.Unlock()
		a.again()
	}
}
