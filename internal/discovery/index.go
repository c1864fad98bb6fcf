package discovery

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// Bounds of what is kept. Beyond, it is what strangers have written, or a site
// of a size that nobody has tried.
const (
	maxServed = 100_000
	maxHosts  = 4096
	// maxHostBytes bounds what is kept of all hosts: each may announce half a
	// megabyte, of which some forms take much more here.
	maxHostBytes = 128 << 20
)

// Served knows which topics are announced. Its methods may be called from any
// goroutine.
type Served struct {
	mu     sync.Mutex
	last   map[string]time.Time // when each topic was last announced
	missed time.Time            // when something found no room
	pruned time.Time            // when room was last made
}

// Add takes a record. A host's goodbye changes nothing: it may be on its way
// back.
func (s *Served) Add(r Record) {
	if r.Announcement == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = make(map[string]time.Time)
	}
	for _, t := range r.Announcement.Topics {
		last, known := s.last[t.Name]
		if !known && len(s.last) >= maxServed && r.Seen.Sub(s.pruned) > Period {
			s.pruned = r.Seen
			maps.DeleteFunc(s.last, func(_ string, at time.Time) bool { return r.Seen.Sub(at) > Lifetime })
		}
		if !known && len(s.last) >= maxServed {
			s.missed = r.Seen
		} else if r.Seen.After(last) {
			s.last[t.Name] = r.Seen
		}
	}
}

// Has tells whether somebody has announced topic within [Lifetime] before now,
// or may have: no request is to fail for want of room here.
func (s *Served) Has(topic string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(s.last[topic]) <= Lifetime || now.Sub(s.missed) <= Lifetime
}

// Hosts knows what each host has announced last. Its methods may be called from
// any goroutine.
type Hosts struct {
	mu   sync.Mutex
	last map[string]Record
	size int // of last, as Record.size has it
}

// Add takes a record.
func (h *Hosts) Add(r Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(r.Host)
	if r.Announcement == nil {
		return
	}
	if h.last == nil {
		h.last = make(map[string]Record)
	}
	for len(h.last) > 0 && (len(h.last) >= maxHosts || h.size+r.size > maxHostBytes) {
		oldest := slices.MinFunc(slices.Collect(maps.Values(h.last)), func(a, b Record) int { return a.Seen.Compare(b.Seen) })
		h.drop(oldest.Host)
	}
	h.last[r.Host] = r
	h.size += r.size
}

func (h *Hosts) drop(host string) {
	h.size -= h.last[host].size
	delete(h.last, host)
}

// List returns the records of the hosts that have announced themselves within
// [Lifetime] before now, by name.
func (h *Hosts) List(now time.Time) []Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []Record
	for _, r := range h.last {
		if now.Sub(r.Seen) <= Lifetime {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Announcement.Name, b.Announcement.Name), cmp.Compare(a.Host, b.Host))
	})
	return list
}
