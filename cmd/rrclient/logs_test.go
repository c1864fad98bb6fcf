package main

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		text string
		want time.Time // zero: an error
	}{
		{"90m", now.Add(-90 * time.Minute)},
		{"0s", now},
		{"2026-01-31T10:00:00Z", now.Add(-2 * time.Hour)},
		{"2026-01-31T12:00:00.5+02:00", now.Add(-2*time.Hour + 500*time.Millisecond)},
		{"-1h", time.Time{}},
		{"30", time.Time{}},
		{"1d", time.Time{}},
		{"2026-01-31", time.Time{}},
		{"\x1b", time.Time{}},
	}
	for _, tt := range tests {
		got, err := parseTime("--since", tt.text, now)
		if !got.Equal(tt.want) || (err != nil) != tt.want.IsZero() {
			t.Errorf("parseTime(%q) = %s, %v; want %s", tt.text, got, err, tt.want)
		}
	}
	if got, err := parseTime("--until", "", now); err != nil || !got.IsZero() {
		t.Errorf("parseTime of nothing = %s, %v", got, err)
	}
}
