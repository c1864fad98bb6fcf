package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"rrhost/audit"
	"rrhost/config"
)

// A request may be answered before the host has made the trail's tables.
func TestTrailThatBeginsLater(t *testing.T) {
	cfg := config.Config{Dir: t.TempDir()}.WithDefaults()
	if _, err := openTrail(t.Context(), cfg, 0); !errors.Is(err, audit.ErrNoTrail) {
		t.Errorf("without waiting: %v, want ErrNoTrail", err)
	}
	if _, err := openTrail(t.Context(), cfg, 10*time.Millisecond); !errors.Is(err, audit.ErrNoTrail) {
		t.Errorf("after the wait: %v, want ErrNoTrail", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := openTrail(ctx, cfg, time.Minute); !errors.Is(err, enough) {
		t.Errorf("cancelled: %v, want its cause", err)
	}
	made := make(chan error, 1)
	time.AfterFunc(50*time.Millisecond, func() { made <- audit.Migrate(t.Context(), cfg) })
	reader, err := openTrail(t.Context(), cfg, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	if err := <-made; err != nil {
		t.Error(err)
	}
}

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

// A page is no larger than what is wanted, but where only some of its rows are: a
// long trail would be read three rows at a time.
func TestPage(t *testing.T) {
	for want, l := range map[int]logs{
		3: {limit: 3}, pageSize: {limit: 3, status: audit.StatusNoOutcome},
	} {
		if got := l.page(); got != want {
			t.Errorf("%+v: %d rows, want %d", l, got, want)
		}
	}
	for _, limit := range []int{0, pageSize + 1} {
		if got := (&logs{limit: limit}).page(); got != pageSize {
			t.Errorf("with limit %d: %d rows, want %d", limit, got, pageSize)
		}
	}
}
