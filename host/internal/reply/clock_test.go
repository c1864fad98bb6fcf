package reply

import (
	"testing"
	"time"
)

func TestClockLearnsTheBrokersTime(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(1_000_000).Add(time.Duration(ms) * time.Millisecond) }
	tests := []struct {
		name string
		acks [][3]int // sent, acked on this host's clock; the broker's stamp
		skew time.Duration
	}{
		{"no difference", [][3]int{{0, 0, 0}}, 500 * time.Microsecond},
		{"an hour ahead", [][3]int{{0, 2, 3_600_001}}, time.Hour + 500*time.Microsecond},
		{"a slow acknowledgement does not move it", [][3]int{{0, 2, 101}, {10, 2010, 1112}}, 100*time.Millisecond + 500*time.Microsecond},
		{"a broker whose clock was set", [][3]int{{0, 2, 101}, {10, 12, 511}}, 499 * time.Millisecond},
		{"a retry of 19 s, stamped at its end", [][3]int{{0, 1, 0}, {0, 19000, 18999}}, 0},
		{"a slow first one is not taken", [][3]int{{0, 19000, 18999}, {20000, 20001, 20000}}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c Clock
			if _, known := c.Skew(); known {
				t.Error("the difference is known before anything was acknowledged")
			}
			for _, a := range tt.acks {
				c.Observe(at(a[0]), at(a[1]), at(a[2]))
			}
			if got, known := c.Skew(); !known || got != tt.skew {
				t.Errorf("skew %s (known: %v), want %s", got, known, tt.skew)
			}
		})
	}
}

func TestClockLocal(t *testing.T) {
	now := time.Now()
	var c Clock
	if got := c.Local(now.Add(-time.Second), now); !got.Equal(now.Add(-time.Second)) {
		t.Errorf("a past record is %s ago, want 1s", now.Sub(got))
	}
	if got := c.Local(now.Add(time.Hour), now); !got.Equal(now) {
		t.Errorf("a record of the future is at %s from now, want now", got.Sub(now))
	}
	c.Observe(now, now, now.Add(time.Hour)) // the broker is an hour ahead
	skew, _ := c.Skew()
	if got := c.Local(now.Add(time.Hour-time.Second), now); !got.Equal(now.Add(time.Hour - time.Second - skew)) {
		t.Errorf("got %s before now, want it on this host's clock", now.Sub(got))
	}
}
