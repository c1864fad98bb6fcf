package supervise

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Five ends within a minute that nothing excuses hold a plugin; of several
// processes, five times as many as there are.
func TestHoldCounts(t *testing.T) {
	tests := []struct {
		ends, instances int
		apart           time.Duration
		held            bool
	}{
		{4, 1, 0, false},
		{5, 1, 14 * time.Second, true},
		{50, 1, 16 * time.Second, false},
		{14, 3, 0, false},
		{15, 3, 0, true},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			p := New(Config{})
			p.live = &generation{seats: make([]*seat, tt.instances)}
			held := false
			for range tt.ends {
				time.Sleep(tt.apart)
				held = p.failed(false)
			}
			if held != tt.held {
				t.Errorf("%d ends of %d processes, %s apart: held %t", tt.ends, tt.instances, tt.apart, held)
			}
			if p.failed(true) {
				t.Error("an excused end holds")
			}
		})
	}
}

// waits are those that a plugin's timing asks to spread, as they come.
type waits struct {
	mu   sync.Mutex
	list []time.Duration
}

func (w *waits) of(tm *timing) {
	tm.jitter = func(d time.Duration) time.Duration {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.list = append(w.list, d)
		return d
	}
}

func (w *waits) all() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.list)
}

// An end soon after the start with nothing in flight counts, and the waits grow;
// one after a long life, or with a request to blame, does neither.
func TestEndsThatCount(t *testing.T) {
	t.Parallel()
	kill := func(w *watched, _ *Instance) { _ = syscall.Kill(w.State().PID, syscall.SIGKILL) }
	exit := func(_ *watched, i *Instance) { ask(i, `{"do":"exit","ms":3}`) }
	ms := time.Millisecond
	tests := []struct {
		name   string
		stable time.Duration
		die    func(*watched, *Instance)
		waits  []time.Duration
	}{
		{"soon, with nothing in flight", time.Hour, kill, []time.Duration{ms, 2 * ms, 4 * ms}},
		{"after a long life", 1, kill, []time.Duration{ms, ms, ms, ms}},
		{"with a request in flight", time.Hour, exit, []time.Duration{ms, ms, ms, ms}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tm, got := quick(), new(waits)
			tm.holdAfter, tm.held, tm.stable = 3, time.Hour, tt.stable
			got.of(&tm)
			w := supervised(t, Config{}, tm)
			for range len(tt.waits) {
				tt.die(w, next(t, "up", w.up))
				next(t, "down", w.down)
			}
			if len(tt.waits) == tm.holdAfter {
				until(t, "held", func() bool { return w.State().Held })
			} else {
				next(t, "up again", w.up)
			}
			if !slices.Equal(got.all(), tt.waits) {
				t.Errorf("waits %v, want %v", got.all(), tt.waits)
			}
		})
	}
}

// A plugin that is held shows the last lines that it printed. It is tried again
// after the longer wait, or as soon as an operator says so, and a long life ends
// the hold.
func TestHeldIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, held := range map[string]time.Duration{"by itself": 50 * time.Millisecond, "by an operator": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tm := quick()
			tm.holdAfter, tm.held, tm.stable = 3, held, 100*time.Millisecond
			w := prepared(t, Config{}, tm)
			pauses := make(chan time.Duration, 1000)
			w.cfg.Events = func(e Event) {
				if e.To() == StateBackingOff {
					pauses <- e.Wait
				}
			}
			gate := filepath.Join(t.TempDir(), "gate")
			w.write(t, fmt.Appendf(nil, "#!/bin/sh\n[ -e %s ] || { seq 25 >&2; exit 1; }\nexec %s\n", gate, testPlugin))
			w.run(t)
			for n, want := range []time.Duration{time.Millisecond, 2 * time.Millisecond, held} {
				if got := next(t, "a pause", pauses); got != want {
					t.Errorf("pause %d is %s, want %s", n, got, want)
				}
			}
			s := w.State()
			if lines := s.LastLines; !s.Held || len(lines) != 20 || !strings.Contains(lines[0], "6") || !strings.Contains(lines[19], "25") {
				t.Errorf("%+v, want it held and lines 6 to 25", s)
			}
			if err := os.WriteFile(gate, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if held == time.Hour {
				if err := w.Restart(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			next(t, "up", w.up)
			until(t, "not held", func() bool { return !w.State().Held })
		})
	}
}
