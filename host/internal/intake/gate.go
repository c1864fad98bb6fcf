package intake

import "sync"

// A gate bounds how many requests of one topic are in flight on this host, and
// divides that number among the topic's claims.
//
// Each claim has a share, the limit divided by the number of claims. A claim may
// hold more than its share only of what the others do not need: a claim with
// work is left its whole share, an idle one half of it (all idle ones together
// at most half of the limit), so that a partition whose handlers are slow can
// use nearly everything and yet never delay the first requests of another.
type gate struct {
	limit int

	mu       sync.Mutex // guards all below, and the gate's fields in each claim
	inflight int
	claims   []*claim
	turn     int // where the search for the next claim to wake begins
}

func newGate(limit int) *gate { return &gate{limit: limit} }

func (g *gate) join(c *claim) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.claims = append(g.claims, c)
}

// leave takes c out of the division. What c still has in flight keeps its slots
// until it is released.
func (g *gate) leave(c *claim) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, other := range g.claims {
		if other == c {
			g.claims = append(g.claims[:i], g.claims[i+1:]...)
			break
		}
	}
	c.waiting = false
	for range g.claims { // the shares have grown: several may go on
		g.wakeNext()
	}
}

// acquire takes a slot for c. If there is none, c is woken when one is free.
func (g *gate) acquire(c *claim) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.admits(c) {
		c.waiting = true
		return false
	}
	g.inflight++
	c.slots++
	c.waiting = false
	return true
}

// release gives a slot of c back.
func (g *gate) release(c *claim) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inflight--
	c.slots--
	g.wakeNext()
}

// admits says whether c may have one more slot now.
func (g *gate) admits(c *claim) bool {
	if g.inflight >= g.limit {
		return false
	}
	share := max(1, g.limit/max(1, len(g.claims)))
	if c.slots < share {
		return true
	}
	busy, idle := 0, 0 // slots kept free for the others
	for _, other := range g.claims {
		switch {
		case other == c:
		case other.waiting || other.slots > 0:
			busy += max(0, share-other.slots)
		default:
			idle += (share + 1) / 2
		}
	}
	return g.inflight+busy+min(idle, g.limit/2) < g.limit
}

// wakeNext wakes one waiting claim that may go on, in turn.
func (g *gate) wakeNext() {
	for i := range g.claims {
		at := (g.turn + i) % len(g.claims)
		if c := g.claims[at]; c.waiting && g.admits(c) {
			c.waiting = false
			g.turn = at + 1
			c.signal()
			return
		}
	}
}
