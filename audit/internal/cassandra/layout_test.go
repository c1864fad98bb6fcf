package cassandra

import (
	"slices"
	"testing"
	"time"

	"rrhost/audit/internal/trail"
)

var day = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

// Two layouts, and the change in the middle of a bucket of both.
var changed = layouts{
	{time.UnixMilli(0).UTC(), time.Hour, 4},
	{day.Add(12*time.Hour + 25*time.Minute), 10 * time.Minute, 2},
}

func TestStepsCoverTheRange(t *testing.T) {
	for _, oldest := range []bool{false, true} {
		from, to := day.Add(10*time.Hour+5*time.Millisecond), day.Add(12*time.Hour+41*time.Minute)
		steps := slices.Collect(changed.steps(from, to, oldest))
		if !oldest {
			slices.Reverse(steps)
		}
		at := from
		for _, s := range steps {
			if !s.from.Equal(at) || !s.to.After(s.from) {
				t.Fatalf("oldest=%v: step from %s to %s, want from %s", oldest, s.from, s.to, at)
			}
			at = s.to
		}
		if !at.Equal(to) {
			t.Errorf("oldest=%v: steps end at %s, want %s", oldest, at, to)
		}
		if len(steps) != 6 { // 10, 11 and 12 h, and 12:25, 12:30, 12:40
			t.Errorf("oldest=%v: %d steps", oldest, len(steps))
		}
		for at := from; at.Before(to); at = at.Add(7 * time.Second) {
			r := trail.Row{Time: at, Partition: 7}
			p := changed.placeOf(&r)
			i := slices.IndexFunc(steps, func(s step) bool { return !at.Before(s.from) && at.Before(s.to) })
			if steps[i].bucket != p.bucket || p.shard >= steps[i].shards {
				t.Fatalf("row of %s is in %v, and looked for in %+v", at, p, steps[i])
			}
		}
	}
	if n := len(slices.Collect(changed.steps(day, day, false))); n != 0 {
		t.Errorf("%d steps of an empty range", n)
	}
}

func TestSafePoints(t *testing.T) {
	p := &safePoints{safe: 3}
	at := day
	for i := range 200 { // a write a second, ten rows each
		p.add(at, int64(10*i))
		if i < 60 && p.safe != 3 {
			t.Fatalf("after %d s %d counts as safe", i, p.safe)
		}
		if lag := int64(10*i) - p.safe; i > 70 && (lag < 600 || lag > 700) {
			t.Fatalf("after %d s the safe offset is %d behind", i, lag)
		}
		at = at.Add(time.Second)
	}
	if len(p.points) > 15 {
		t.Errorf("%d points are kept", len(p.points))
	}
}
