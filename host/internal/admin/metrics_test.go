package admin

import (
	"maps"
	"testing"
	"time"

	"rrhost/internal/wire"
)

func TestAnswered(t *testing.T) {
	m := NewMetrics().Topic("calculate")
	if got := m.Answered(); len(got) != 0 {
		t.Errorf("answered %v before anything was", got)
	}
	now := time.Now()
	for _, status := range []wire.Status{wire.StatusOK, wire.StatusOK, wire.StatusHandlerError} {
		m.Replied(status, now, now, now)
	}
	m.RepliedUnsealed(wire.StatusUndecryptable)
	if got, want := m.Answered(), map[string]int64{"ok": 2, "handler_error": 1, "undecryptable": 1}; !maps.Equal(got, want) {
		t.Errorf("answered %v, want %v", got, want)
	}
}
