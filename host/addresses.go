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

	mu      sync.Mutex // guards waiting
	waiting []question
}

// A question is whether there is a partition of a topic meanwhile.
type question struct {
	topic     string
	partition int32
	answer    func(bool)
}

// askAgain is how often the broker is asked at the most.
const askAgain = time.Second

func newAddresses(topics []string, partitions func(string) ([]int32, error), logger hclog.Logger) (*addresses, error) {
	a := &addresses{
		partitions: partitions, logger: logger,
		known: make(map[string]*atomic.Int32), wake: make(chan struct{}, 1),
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
	list, err := a.partitions(topic)
	if err == nil {
		a.known[topic].Store(int32(len(list)))
	}
	return err
}

// has reports whether replies may go to a partition of a topic, as far as is known.
func (a *addresses) has(topic string, partition int32) bool {
	known := a.known[topic]
	return known != nil && 0 <= partition && partition < known.Load()
}

// ask answers what has does after the broker was asked again, which takes a second
// and more: at once only where that cannot change the answer. It is not answered
// before the broker is.
func (a *addresses) ask(topic string, partition int32, answer func(bool)) {
	if a.known[topic] == nil || partition < 0 {
		answer(false)
		return
	}
	a.mu.Lock()
	a.waiting = append(a.waiting, question{topic, partition, answer})
	a.mu.Unlock()
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
	asked := make(map[string]error)
	for _, q := range questions {
		err, done := asked[q.topic]
		if !done {
			err = a.refresh(q.topic)
			if errors.Is(err, sarama.ErrUnknownTopicOrPartition) { // deleted: there is no such partition
				err = nil
			}
			if err != nil {
				a.logger.Warn("cannot ask for the partitions of a reply topic; trying again", "topic", q.topic, "error", err)
			}
			asked[q.topic] = err
		}
		if err != nil {
			a.ask(q.topic, q.partition, q.answer)
			continue
		}
		q.answer(a.has(q.topic, q.partition))
	}
}
