package kafka

import (
	"fmt"

	"github.com/IBM/sarama"

	"rrhost/internal/wire"
)

// partitioner chooses a message's partition: what is pinned goes where it was
// told, what has a key goes where the Java client would put it (murmur2), and
// the rest takes turns over the partitions that have a leader.
//
// Taking turns and not sticking to one partition per batch: the workers of all
// partitions share the work even when only a few requests are under way.
type partitioner struct {
	next int32
}

func newPartitioner(string) sarama.Partitioner { return new(partitioner) }

func (p *partitioner) Partition(m *sarama.ProducerMessage, n int32) (int32, error) {
	if pinned(m) {
		return m.Partition, nil
	}
	if m.Key != nil {
		key, err := m.Key.Encode()
		if err != nil {
			return 0, fmt.Errorf("encode the key: %w", err)
		}
		return wire.Partition(key, n), nil
	}
	p.next++
	if p.next >= n {
		p.next = 0
	}
	return p.next, nil
}

// RequiresConsistency is asked by sarama only where it does not know
// MessageRequiresConsistency.
func (p *partitioner) RequiresConsistency() bool { return true }

// MessageRequiresConsistency reports whether m must be counted over all
// partitions, also those without a leader now.
func (p *partitioner) MessageRequiresConsistency(m *sarama.ProducerMessage) bool {
	return m.Key != nil || pinned(m)
}

func pinned(m *sarama.ProducerMessage) bool {
	f, ok := m.Metadata.(*flight)
	return ok && f.pinned
}
