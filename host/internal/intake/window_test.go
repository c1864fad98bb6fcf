package intake

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestWindowNextOffsetToCommit(t *testing.T) {
	tests := []struct {
		name               string
		received, finished []int64 // offsets, in order
		want               int64   // the next offset to commit
	}{
		{"nothing received", nil, nil, -1},
		{"nothing finished", []int64{7, 8}, nil, 7},
		{"in order", []int64{7, 8, 9}, []int64{7, 8}, 9},
		{"oldest in flight holds", []int64{7, 8, 9}, []int64{9, 8}, 7},
		{"late one releases", []int64{7, 8, 9}, []int64{9, 8, 7}, 10},
		{"offsets skip", []int64{7, 12}, []int64{7}, 12}, // a compacted topic
		{"the last before a gap", []int64{7, 12}, []int64{12, 7}, 13},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, entries := newWindow(), map[int64]*entry{}
			for _, offset := range tt.received {
				entries[offset] = &entry{offset: offset}
				w.add(entries[offset])
			}
			for _, offset := range tt.finished {
				w.settle(entries[offset])
			}
			if got := w.next(); got != tt.want {
				t.Errorf("next = %d, want %d", got, tt.want)
			}
		})
	}
}

// Whatever the gaps and the order, the offset to commit never passes an unsettled
// one, never goes back, and ends after the last.
func TestWindowProperty(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		w := newWindow()
		var open []*entry
		offset, committed, last := int64(rnd.IntN(5)), int64(-1), int64(-1)
		check := func() {
			t.Helper()
			next := w.next()
			if len(open) > 0 {
				lowest := slices.MinFunc(open, func(a, b *entry) int { return int(a.offset - b.offset) })
				if next != lowest.offset {
					t.Fatalf("seed %d: next = %d, want the oldest unsettled %d", seed, next, lowest.offset)
				}
			}
			if next < committed {
				t.Fatalf("seed %d: next went back from %d to %d", seed, committed, next)
			}
			if w.length < len(open) {
				t.Fatalf("seed %d: length %d below the %d unsettled", seed, w.length, len(open))
			}
			committed = next
		}
		for range 200 {
			if len(open) == 0 || rnd.IntN(2) == 0 {
				e := &entry{offset: offset}
				last = offset
				w.add(e)
				open = append(open, e)
				offset += 1 + int64(rnd.IntN(3))*int64(rnd.IntN(3))
			} else {
				i := rnd.IntN(len(open))
				before := w.next()
				if moved := w.settle(open[i]); moved != (open[i].offset == before) {
					t.Fatalf("seed %d: settle says moved = %v", seed, moved)
				}
				open = slices.Delete(open, i, i+1)
			}
			check()
		}
		for _, e := range open {
			w.settle(e)
		}
		if w.next() != last+1 || w.length != 0 || w.head != nil || w.tail != nil {
			t.Fatalf("seed %d: all settled, and yet %+v", seed, w)
		}
	}
}
