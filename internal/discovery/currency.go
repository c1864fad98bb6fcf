package discovery

import (
	"sync"
	"time"
)

const (
	// askEvery is how often a reader asks for the log's end.
	askEvery = time.Second
	// staleAfter is how long a reader counts as current after it was last found
	// at the log's end: some answers may be late. It is far below Period, so that
	// of a host that lives, the announcement before an unread one still counts.
	staleAfter = 5 * time.Second
)

// A currency is since when a reader has been current without a break. Its methods
// may be called from any goroutine.
type currency struct {
	mu    sync.Mutex
	since time.Time // zero: from the beginning
	last  time.Time // when it was last current; zero: not yet
}

// mark says that all that was written before at has been read.
func (c *currency) mark(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.IsZero() && at.Sub(c.last) > staleAfter {
		c.since = at
	}
	c.last = at
}

// knows tells whether the reader is current at the time now and has been for
// [Lifetime], or from the beginning.
func (c *currency) knows(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.last.IsZero() && now.Sub(c.last) <= staleAfter && (c.since.IsZero() || c.last.Sub(c.since) >= Lifetime)
}
