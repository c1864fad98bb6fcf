package audit

import (
	"testing"
	"time"
)

func TestBelievable(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	const ttl = 30 * 24 * time.Hour
	tests := []struct {
		name          string
		record, floor time.Time
		want          time.Time
	}{
		{"now", now, time.Time{}, now},
		{"a requester's clock, 50 min slow", ago(50 * time.Minute), ago(time.Minute), ago(50 * time.Minute)},
		{"a requester's clock, 50 min fast", ago(-50 * time.Minute), now, ago(-50 * time.Minute)},
		{"the year 9999", time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), ago(time.Second), ago(time.Second)},
		{"1970, after others", time.Unix(0, 0), ago(time.Second), ago(time.Second)},
		{"1970, the first of all", time.Unix(0, 0), time.Time{}, now},
		{"no time at all", time.Time{}, time.Time{}, now},
		{"a backlog of two days", ago(48 * time.Hour), ago(48*time.Hour + time.Second), ago(48 * time.Hour)},
		{"the first of a backlog", ago(48 * time.Hour), time.Time{}, ago(48 * time.Hour)},
		{"back by two hours within a backlog", ago(48 * time.Hour), ago(46 * time.Hour), ago(46 * time.Hour)},
		{"older than what is kept", ago(31 * 24 * time.Hour), ago(31 * 24 * time.Hour), now},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := believable(tt.record, tt.floor, now, ttl)
			if !got.Equal(tt.want) {
				t.Errorf("believable(%s, floor %s) = %s, want %s", tt.record, tt.floor, got, tt.want)
			}
			if again := believable(tt.record, tt.floor, now.Add(time.Minute), ttl); !tt.want.Equal(now) && !again.Equal(got) {
				t.Errorf("read again a minute later: %s, before %s", again, got)
			}
		})
	}
}

func TestStartAt(t *testing.T) {
	c := claim{"echo", 2}
	tests := []struct {
		name           string
		next, start    int64
		has            bool
		oldest, newest int64
		want           int64
		from, to       int64 // of the gap; equal: none
	}{
		{"never read", 0, 0, false, 7, 20, 7, 0, 0},
		{"where it ended", 12, 12, true, 0, 20, 12, 0, 0},
		{"a while back", 12, 9, true, 0, 20, 9, 0, 0},
		{"a while back, partly dropped", 12, 9, true, 11, 20, 11, 0, 0},
		{"all of the while dropped", 12, 9, true, 12, 20, 12, 0, 0},
		{"dropped before it was stored", 12, 9, true, 15, 20, 15, 12, 15},
		{"the whole log dropped", 12, 12, true, 20, 20, 20, 12, 20},
		{"read to the end", 20, 20, true, 0, 20, 20, 0, 0},
		{"the log was cut", 25, 25, true, 3, 20, 3, 20, 25},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			gap, got := startAt(c, trailPosition(tt.next, tt.start), tt.has, tt.oldest, tt.newest)
			if got != tt.want {
				t.Errorf("start = %d, want %d", got, tt.want)
			}
			if (gap != nil) != (tt.from < tt.to) || gap != nil && (gap.Offset != tt.from || gap.GapEnd != tt.to || gap.Topic != "echo" || gap.Partition != 2) {
				t.Errorf("gap = %+v, want %d to %d", gap, tt.from, tt.to)
			}
		})
	}
}
