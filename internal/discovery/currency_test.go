package discovery

import (
	"testing"
	"time"
)

func TestCurrency(t *testing.T) {
	const always = time.Hour
	tests := []struct {
		name  string
		until []time.Duration // marked every second up to, and after a gap from the next on
		now   time.Duration
		want  bool
	}{
		{"never read to its end", nil, 0, false},
		{"just opened", []time.Duration{0}, 0, true},
		{"an answer is late", []time.Duration{10 * time.Second}, 10*time.Second + staleAfter, true},
		{"nobody answers", []time.Duration{10 * time.Second}, 10*time.Second + staleAfter + 1, false},
		{"brokers were away", []time.Duration{10 * time.Second, 115 * time.Second, 116 * time.Second}, 116 * time.Second, false},
		{"not long ago", []time.Duration{10 * time.Second, 115 * time.Second, 115*time.Second + Lifetime - time.Second}, 115*time.Second + Lifetime, false},
		{"long ago", []time.Duration{10 * time.Second, 115 * time.Second, 115*time.Second + Lifetime}, 115*time.Second + Lifetime, true},
		{"the process was stopped", []time.Duration{10 * time.Second}, always, false},
		{"and goes on", []time.Duration{10 * time.Second, always, always}, always, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c currency
			at := time.Duration(0)
			for i, until := range tt.until {
				if i == 1 {
					at = until // the gap
				}
				for ; at <= until; at += time.Second {
					c.mark(noon.Add(at))
				}
			}
			if got := c.knows(noon.Add(tt.now)); got != tt.want {
				t.Errorf("knows = %v, want %v", got, tt.want)
			}
		})
	}
}
