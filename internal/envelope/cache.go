package envelope

import (
	"crypto/cipher"
	"sync"
	"sync/atomic"
)

// cacheSize is how many senders' keys a ring keeps, about 1 KiB each. A miss
// costs a derivation, some microseconds.
const cacheSize = 4096

// senderID is key id and salt as they stand in a sealed value: they name the
// derived key.
type senderID [len(KeyID{}) + saltSize]byte

// An aeadCache keeps the derived keys of senders that have been heard of, up to
// a fixed number. When it is full it drops one that has not been asked for
// lately: a clock hand goes round the slots, forgives each that was used since
// its last visit, and takes the first that was not. So senders that are heard
// once push out each other and not those that are heard often, and a hit costs
// a shared lock and no reordering.
type aeadCache struct {
	mu    sync.RWMutex
	at    map[senderID]*cacheSlot
	slots []*cacheSlot // cap(slots) is the bound
	hand  int
}

type cacheSlot struct {
	sender senderID
	aead   cipher.AEAD
	used   atomic.Bool // since the hand passed, and not by put
}

func newAEADCache(size int) *aeadCache {
	return &aeadCache{at: make(map[senderID]*cacheSlot), slots: make([]*cacheSlot, 0, size)}
}

func (c *aeadCache) get(sender *senderID) (cipher.AEAD, bool) {
	c.mu.RLock()
	slot, ok := c.at[*sender]
	c.mu.RUnlock()
	if !ok {
		return nil, false
	}
	if !slot.used.Load() { // reading first keeps the line shared between cores
		slot.used.Store(true)
	}
	return slot.aead, true
}

// put keeps aead. The caller has opened a value with it, so it is a real
// sender's and no made-up one.
func (c *aeadCache) put(sender *senderID, aead cipher.AEAD) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.at[*sender]; ok {
		return // another goroutine was first
	}
	slot := &cacheSlot{sender: *sender, aead: aead}
	if len(c.slots) < cap(c.slots) {
		c.slots = append(c.slots, slot)
	} else {
		i := c.victim()
		delete(c.at, c.slots[i].sender)
		c.slots[i] = slot
	}
	c.at[*sender] = slot
}

// victim returns the slot to give up and moves the hand past it. It ends within
// two rounds or so: the first takes all marks, and while put holds the lock
// only those can come back that a get already on its way sets.
func (c *aeadCache) victim() int {
	for {
		i := c.hand
		c.hand = (c.hand + 1) % len(c.slots)
		if !c.slots[i].used.Swap(false) {
			return i
		}
	}
}
