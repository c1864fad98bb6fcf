package envelope

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
)

// cachedSenders is how many derived keys r holds.
func cachedSenders(r *Ring) int {
	r.opened.mu.RLock()
	defer r.opened.mu.RUnlock()
	if len(r.opened.at) != len(r.opened.slots) {
		panic("the cache's map and slots differ")
	}
	return len(r.opened.at)
}

func (r *Ring) hasCached(sealed []byte) bool {
	r.opened.mu.RLock()
	defer r.opened.mu.RUnlock()
	_, ok := r.opened.at[senderID(sealed[idAt:ivAt])]
	return ok
}

// TestForgeriesAreNotCached: who cannot seal cannot take a place in the cache,
// let alone another's.
func TestForgeriesAreNotCached(t *testing.T) {
	k := mustKey(t)
	r, err := newRing(defaultLimits, 4, k, nil)
	if err != nil {
		t.Fatal(err)
	}
	own := r.Seal(nil, []byte("x"), nil)
	if _, err := r.Open(nil, own, nil); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		forged := append([]byte(nil), own...)
		forged[saltAt] ^= byte(i + 1)
		forged[saltAt+1] = byte(i)
		if _, err := r.Open(nil, forged, nil); !errors.Is(err, ErrUndecryptable) {
			t.Fatal("a forgery opened")
		}
	}
	if n := cachedSenders(r); n != 1 || !r.hasCached(own) {
		t.Errorf("the cache holds %d senders, want the real one alone", n)
	}
}

// TestCacheKeepsWhoIsHeardOften floods a small cache with real senders that are
// heard once, such as a replayed log of many old processes.
func TestCacheKeepsWhoIsHeardOften(t *testing.T) {
	const size = 8
	k := mustKey(t)
	r, err := newRing(defaultLimits, size, k, nil)
	if err != nil {
		t.Fatal(err)
	}
	open := func(sealed []byte) {
		t.Helper()
		if _, err := r.Open(nil, sealed, nil); err != nil {
			t.Fatal(err)
		}
	}
	often := [][]byte{mustRing(t, k).Seal(nil, nil, nil), mustRing(t, k).Seal(nil, nil, nil)}
	for _, sealed := range often {
		open(sealed)
	}
	for range 10 * size {
		for _, sealed := range often {
			if !r.hasCached(sealed) {
				t.Fatal("a sender that is heard often was dropped")
			}
			open(sealed)
		}
		open(mustRing(t, k).Seal(nil, nil, nil))
		if n := cachedSenders(r); n > size {
			t.Fatalf("the cache holds %d senders, over %d", n, size)
		}
	}
}

// TestCacheAllInUse: a full cache of senders that are all heard gives up one of
// them and goes on.
func TestCacheAllInUse(t *testing.T) {
	const size = 4
	c := newAEADCache(size)
	for i := range byte(100) {
		id := senderID{i}
		c.put(&id, nil)
		for j := range byte(100) {
			c.get(&senderID{j})
		}
		if _, ok := c.get(&id); !ok {
			t.Fatalf("sender %d is not there right after put", i)
		}
		if len(c.at) != min(int(i)+1, size) {
			t.Fatalf("the cache holds %d senders after %d", len(c.at), i+1)
		}
	}
	id := senderID{99}
	c.put(&id, nil)
	if len(c.at) != size || len(c.slots) != size {
		t.Error("putting a sender twice takes two places")
	}
}

func TestCacheConcurrently(t *testing.T) {
	k := mustKey(t)
	r, err := newRing(defaultLimits, 4, k, nil)
	if err != nil {
		t.Fatal(err)
	}
	var values [][]byte
	for range 16 {
		values = append(values, mustRing(t, k).Seal(nil, []byte("x"), nil))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				got, err := r.Open(nil, values[rand.IntN(len(values))], nil)
				if err != nil || string(got) != "x" {
					t.Errorf("Open = %q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
	if n := cachedSenders(r); n != 4 {
		t.Errorf("the cache holds %d senders, want 4", n)
	}
}
