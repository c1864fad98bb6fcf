package host

import (
	"slices"
	"sync"
	"time"
)

// addresses knows to which topics and partitions the host may reply. It asks the
// broker for a topic's partitions only where a request names one beyond those
// known, and then not more than once in ten seconds: topics grow rarely, and
// requests can name anything.
type addresses struct {
	topics     []string
	partitions func(topic string) ([]int32, error) // fresh from the broker

	mu    sync.RWMutex // guards all below
	known map[string]int32
	asked map[string]time.Time
}

const askAgain = 10 * time.Second

func newAddresses(topics []string, partitions func(string) ([]int32, error)) *addresses {
	return &addresses{
		topics: topics, partitions: partitions,
		known: make(map[string]int32), asked: make(map[string]time.Time),
	}
}

// allowed says whether replies may go to a partition of a topic.
func (a *addresses) allowed(topic string, partition int32) bool {
	if partition < 0 || !slices.Contains(a.topics, topic) {
		return false
	}
	a.mu.RLock()
	known := a.known[topic]
	a.mu.RUnlock()
	return partition < known || partition < a.ask(topic)
}

func (a *addresses) ask(topic string) int32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.asked[topic]) < askAgain {
		return a.known[topic]
	}
	list, err := a.partitions(topic)
	if err == nil { // else what was known before still holds
		a.known[topic] = int32(len(list))
		a.asked[topic] = time.Now()
	}
	return a.known[topic]
}
