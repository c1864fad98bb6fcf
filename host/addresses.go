package host

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// addresses knows to which topics and partitions the host may reply. It asks the
// broker when the host starts, and again in the background where a request names
// a partition beyond those known: topics grow rarely, and requests can name
// anything. Nothing on the way of a request waits for the answer.
type addresses struct {
	partitions func(topic string) ([]int32, error) // fresh from the broker
	logger     hclog.Logger
	known      map[string]*atomic.Int32 // partitions of each topic; the map does not change
	asked      chan string              // topics that may have grown
}

// askAgain is how often a topic is asked about at the most.
const askAgain = 10 * time.Second

func newAddresses(topics []string, partitions func(string) ([]int32, error), logger hclog.Logger) (*addresses, error) {
	a := &addresses{
		partitions: partitions, logger: logger,
		known: make(map[string]*atomic.Int32), asked: make(chan string, 1),
	}
	for _, topic := range topics {
		list, err := partitions(topic)
		if err != nil {
			return nil, fmt.Errorf("reply topic %s: %w", topic, err)
		}
		a.known[topic] = new(atomic.Int32)
		a.known[topic].Store(int32(len(list)))
	}
	return a, nil
}

// allowed says whether replies may go to a partition of a topic.
func (a *addresses) allowed(topic string, partition int32) bool {
	known := a.known[topic]
	if known == nil || partition < 0 {
		return false
	}
	if partition < known.Load() {
		return true
	}
	select {
	case a.asked <- topic:
	default: // somebody asks already
	}
	return false
}

// run asks the broker about topics that may have grown, until ctx is done.
func (a *addresses) run(ctx context.Context) {
	for last := make(map[string]time.Time); ; {
		select {
		case topic := <-a.asked:
			if time.Since(last[topic]) < askAgain {
				continue
			}
			last[topic] = time.Now()
			list, err := a.partitions(topic)
			if err != nil {
				a.logger.Warn("cannot ask for the partitions of a reply topic", "topic", topic, "error", err)
				continue // what was known still holds
			}
			a.known[topic].Store(int32(len(list)))
		case <-ctx.Done():
			return
		}
	}
}
