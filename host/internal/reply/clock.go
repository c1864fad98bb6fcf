package reply

import (
	"sync/atomic"
	"time"
)

// A Clock translates between the broker's clock, on which deadlines live, and
// this host's. It learns the difference from acknowledgements that carry the
// broker's time; until one came, the difference is taken to be none.
type Clock struct {
	skew  atomic.Int64 // broker minus host, ns
	known atomic.Bool
}

// Observe learns from a record that was sent and acknowledged at the given times
// of this host, and stamped by the broker in between. The true difference lies
// within [broker-acked, broker-sent]: an estimate outside moves to the nearer
// bound and no further, so that a slow acknowledgement, whose bounds are wide,
// does not move a good one. The first estimate is the middle of its bounds, and
// is not taken from wide ones.
func (c *Clock) Observe(sent, acked, broker time.Time) {
	low, high := int64(broker.Sub(acked)), int64(broker.Sub(sent))+int64(time.Millisecond) // the stamp is cut to a millisecond
	if c.known.Load() {
		c.skew.Store(min(max(c.skew.Load(), low), high))
		return
	}
	if high-low <= int64(widest) {
		c.skew.Store((low + high) / 2)
		c.known.Store(true)
	}
}

// widest is how far apart the bounds of a first estimate may be.
const widest = 500 * time.Millisecond

// Skew is how far the broker's clock is ahead of this host's, and whether that is
// known.
func (c *Clock) Skew() (time.Duration, bool) {
	return time.Duration(c.skew.Load()), c.known.Load()
}

// Local is the host's time at which the broker's clock shows t. A record's time
// that lies in the future is taken to be now: on a topic that keeps its
// producers' times, one of them could else stretch its deadline.
func (c *Clock) Local(t, now time.Time) time.Time {
	local := t.Add(-time.Duration(c.skew.Load()))
	if local.After(now) {
		return now
	}
	return local
}
