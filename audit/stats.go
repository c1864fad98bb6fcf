package audit

import (
	"cmp"
	"slices"
	"time"
)

// Stats are an ingester's figures, for metrics and health.
type Stats struct {
	// Rows stored since the start; a record that was read again counts again.
	Rows uint64
	// Gaps are ranges that Kafka dropped before they were stored.
	Gaps uint64
	// Malformed is how many of Rows could not be read.
	Malformed uint64
	// Foreign are replies to other hosts' requests, and pings with their
	// answers, which are not stored.
	Foreign uint64
	// Partitions are those that this ingester has claimed.
	Partitions []PartitionStats
	// MissingTopics are to be read but don't exist.
	MissingTopics []string
	// LastError is why nothing is stored, or nil while all is well.
	LastError error
	// FailingSince is when that began; zero while all is well.
	FailingSince time.Time
	// Retention is how long Kafka keeps what isn't stored yet.
	Retention time.Duration
}

// PartitionStats are one partition's.
type PartitionStats struct {
	Topic     string
	Partition int32
	Next      int64 // the offset after the last one stored
	End       int64 // the log's end, as last seen
	// CompleteUntil is the time before which all of it is stored.
	CompleteUntil time.Time
}

// Lag is how many offsets are not stored yet.
func (p PartitionStats) Lag() int64 { return max(0, p.End-p.Next) }

// Stats returns the figures of now. Any number of callers may ask.
func (in *Ingester) Stats() Stats {
	in.mu.Lock()
	s := Stats{
		Rows: in.counts.rows, Gaps: in.counts.gaps, Malformed: in.counts.malformed, Foreign: in.counts.foreign,
		MissingTopics: slices.Clone(in.missing), LastError: in.failure, FailingSince: in.since, Retention: in.retention,
	}
	g := in.current
	in.mu.Unlock()
	if g == nil {
		return s
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for c, st := range g.claims {
		s.Partitions = append(s.Partitions, PartitionStats{
			Topic: c.topic, Partition: c.partition, Next: st.stored.Next, End: max(st.end, st.stored.Next), CompleteUntil: st.stored.Complete,
		})
	}
	slices.SortFunc(s.Partitions, func(a, b PartitionStats) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return s
}
