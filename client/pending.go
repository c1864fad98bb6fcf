package client

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// call is one request on its way.
type call struct {
	topic string
	// outcome gets exactly one value, from whoever took the call out of the
	// table; its capacity is 1, so that nobody waits for the caller.
	outcome chan outcome
	// acked is whether Kafka has taken the request.
	acked atomic.Bool
	// hint is what a dropped reply gave away about why none is believed.
	hint atomic.Pointer[string]
}

type outcome struct {
	reply *Reply
	err   error
}

// recentSlots is how many ended calls are remembered, to tell a late or second
// reply from a stranger's.
const recentSlots = 4096

// pending is the table of calls under way, by request id.
type pending struct {
	seed maphash.Seed

	mu     sync.Mutex
	closed bool
	calls  map[string]*call
	recent [recentSlots]ended
}

// ended is a call that is over. Ids share slots by hash and the newest stays.
type ended struct {
	id       string
	answered bool
}

func newPending() *pending {
	return &pending{seed: maphash.MakeSeed(), calls: make(map[string]*call)}
}

// add registers a call and says how many are under way, itself included.
func (p *pending) add(id string, c *call) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, ErrClosed
	}
	if _, ok := p.calls[id]; ok {
		return 0, errBusy
	}
	p.calls[id] = c
	return len(p.calls), nil
}

// find returns the call with id. For a stranger's it returns nil, and for one
// that is over also how it ended.
func (p *pending) find(id []byte) (c *call, was ended) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.calls[string(id)]; c != nil {
		return c, ended{}
	}
	if e := p.recent[maphash.Bytes(p.seed, id)%recentSlots]; e.id == string(id) {
		return nil, e
	}
	return nil, ended{}
}

// take removes c from the table and reports whether it was there: who gets true
// gives it its outcome, or is its caller and needs none.
func (p *pending) take(id string, c *call, answered bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls[id] != c {
		return false
	}
	delete(p.calls, id)
	p.recent[p.slot(id)] = ended{id, answered}
	return true
}

func (p *pending) slot(id string) uint64 { return maphash.String(p.seed, id) % recentSlots }

// close ends every call with ErrClosed and lets none in any more.
func (p *pending) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for id, c := range p.calls {
		delete(p.calls, id)
		c.outcome <- outcome{err: ErrClosed}
	}
}

func (p *pending) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls)
}
