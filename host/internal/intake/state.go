package intake

import (
	"cmp"
	"slices"
	"time"

	"rrhost/internal/wire"
)

// A PartitionState is how one claim stands.
type PartitionState struct {
	Topic     string
	Partition int32
	Lag       int64 // records behind the log's end, as of the last fetch
	InFlight  int
	Waiting   int // received, without a slot yet
	Paused    bool

	// The oldest unsettled request, which holds the committed offset. Its age is
	// zero if there is none.
	OldestOffset    int64
	OldestRequestID string
	OldestAge       time.Duration
}

// State is how the intake stands.
type State struct {
	Joined     bool  // a member of the group, with a session
	Err        error // why the last session failed; nil once joined again
	HeldBytes  int64
	Partitions []PartitionState // by topic and partition
}

// State reports how the intake stands now.
func (in *Intake) State() State {
	in.mu.Lock()
	s := State{Joined: in.joined, Err: in.err, HeldBytes: in.held.Load()}
	claims := make([]*claim, 0, len(in.claims))
	for _, c := range in.claims {
		claims = append(claims, c)
	}
	in.mu.Unlock()
	for _, c := range claims {
		s.Partitions = append(s.Partitions, c.state())
	}
	slices.SortFunc(s.Partitions, func(a, b PartitionState) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return s
}

func (c *claim) state() PartitionState {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := PartitionState{
		Topic: c.topic, Partition: c.partition,
		InFlight: c.begun, Waiting: c.received - c.begun, Paused: c.loud.Load(),
	}
	if next := c.window.next(); next >= 0 {
		s.Lag = max(0, c.high()-next)
	} else {
		s.Lag = max(0, c.high()-max(0, c.from))
	}
	if e := c.window.head; e != nil && e.message != nil {
		s.OldestOffset = e.offset
		s.OldestAge = time.Since(e.message.Received)
		s.OldestRequestID = string(wire.RequestIDOf(e.message.Headers))
	}
	return s
}
