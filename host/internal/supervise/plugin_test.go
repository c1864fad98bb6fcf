package supervise

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rrhost/internal/handler"
)

var testPlugin string // built once

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rrtest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	testPlugin = filepath.Join(dir, "testplugin")
	if text, err := exec.Command("go", "build", "-o", testPlugin, "rrhost/internal/testplugin").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, text)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// watched is a plugin under supervision, and what was told about it.
type watched struct {
	*Plugin
	up       chan *Instance
	down     chan error
	rejected chan error

	mu     sync.Mutex
	states []string
}

func quick() timing {
	t := defaultTiming
	t.first, t.longest, t.rejected = time.Millisecond, 20*time.Millisecond, 20*time.Millisecond
	t.jitter = func(d time.Duration) time.Duration { return d }
	return t
}

// supervised runs a plugin until the test ends.
func supervised(t *testing.T, cfg Config, tm timing) *watched {
	t.Helper()
	w := &watched{up: make(chan *Instance, 100), down: make(chan error, 100), rejected: make(chan error, 100)}
	cfg.Name, cfg.Version = "p", "v"
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	cfg.Up = func(i *Instance) { w.up <- i }
	cfg.Down = func(_ *Instance, cause error) {
		w.down <- cause
	}
	cfg.Rejected = func(err error) { w.rejected <- err }
	cfg.Events = func(e Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.states = append(w.states, string(e.Was)+">"+string(e.State.State))
	}
	w.Plugin = New(cfg)
	w.time = tm
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		if s := w.State(); s.State != StateStopped || s.PID != 0 {
			t.Errorf("after Run: %+v", s)
		}
	})
	return w
}

func next[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("never: %s", what)
		panic("unreachable")
	}
}

func ask(i *Instance, order string) <-chan Result {
	results := make(chan Result, 1)
	i.Start(Request{
		Handler: "work", Info: handler.Info{RequestID: "id", Attempt: 1},
		Deadline: time.Now().Add(time.Minute), Payload: []byte(order),
	}, func(r Result) { results <- r })
	return results
}

func TestLivesAgainAfterDeath(t *testing.T) {
	w := supervised(t, Config{Path: testPlugin}, quick())
	var pids []int
	for n := range 3 {
		i := next(t, "up", w.up)
		s := w.State()
		if s.State != StateReady || s.PID == 0 || s.Restarts != n || len(s.Handlers) != 2 || !strings.HasPrefix(s.SDK, "go ") {
			t.Errorf("life %d: %+v", n, s)
		}
		pids = append(pids, s.PID)
		running := ask(i, `{"do":"sleep","ms":60000}`)
		if res := next(t, "answer", ask(i, `{"nonce":"n"}`)); res.Err != nil || res.Crashed {
			t.Errorf("%+v", res)
		}
		ask(i, `{"do":"exit","ms":3}`)
		if res := next(t, "crash", running); !res.Crashed || res.NotStarted {
			t.Errorf("%+v", res)
		}
		if cause := next(t, "down", w.down); cause == nil || cause.Error() != "exited with code 3" {
			t.Errorf("down: %v", cause)
		}
		if res := next(t, "refusal", ask(i, `{}`)); !res.NotStarted {
			t.Errorf("after the end: %+v", res)
		}
	}
	next(t, "up", w.up)
	for _, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("process %d is left", pid)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if want := []string{"found>starting", "starting>ready", "ready>backing off", "backing off>starting", "starting>ready"}; !slices.Equal(w.states[:5], want) {
		t.Errorf("states %v, want %v first", w.states, want)
	}
}

func TestStopDrainsNothingByItself(t *testing.T) {
	tm := quick()
	w := &watched{}
	var down []error
	up := make(chan *Instance, 1)
	w.Plugin = New(Config{
		Name: "p", Path: testPlugin, Dir: t.TempDir(),
		Up: func(i *Instance) { up <- i }, Down: func(_ *Instance, cause error) { down = append(down, cause) },
	})
	w.time = tm
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	i := next(t, "up", up)
	pid := w.State().PID
	running := ask(i, `{"do":"hang"}`) // ignores its context
	if res := next(t, "answer", ask(i, `{}`)); res.Err != nil {
		t.Errorf("%+v", res)
	}
	cancel()
	if err := next(t, "end of Run", done); err != nil {
		t.Errorf("Run = %v", err)
	}
	if res := next(t, "crash", running); !res.Crashed {
		t.Errorf("%+v", res)
	}
	if len(down) != 1 || down[0] != nil {
		t.Errorf("down: %v, want once, without a cause", down)
	}
	if syscall.Kill(pid, 0) == nil {
		t.Errorf("process %d is left", pid)
	}
}

func TestRejectedIsTriedAgain(t *testing.T) {
	w := supervised(t, Config{Path: testPlugin, Settings: map[string]any{"refuse": true}}, quick())
	for range 2 {
		if err := next(t, "rejected", w.rejected); !strings.Contains(err.Error(), "refuse is set") {
			t.Errorf("rejected: %v", err)
		}
	}
	if s := w.State(); s.LastError == nil {
		t.Errorf("%+v", s)
	}
}

// TestInstalledLater: a plugin that isn't there yet runs once it is.
func TestInstalledLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "late")
	w := supervised(t, Config{Path: path}, quick())
	next(t, "rejected", w.rejected)
	if err := os.Link(testPlugin, path); err != nil {
		t.Fatal(err)
	}
	next(t, "up", w.up)
}

func TestHangIsEnded(t *testing.T) {
	tm := quick()
	tm.health, tm.healthTimeout, tm.strikes = 20*time.Millisecond, 100*time.Millisecond, 2
	w := supervised(t, Config{Path: testPlugin}, tm)
	i := next(t, "up", w.up)
	running := ask(i, `{"do":"sleep","ms":60000}`)
	if err := syscall.Kill(w.State().PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if res := next(t, "crash", running); !res.Crashed {
		t.Errorf("%+v", res)
	}
	if cause := next(t, "down", w.down); cause == nil || !strings.Contains(cause.Error(), "it hangs and was killed") {
		t.Errorf("down: %v", cause)
	}
	next(t, "up again", w.up)
}

// TestBackoffGrows: the waits double up to the longest, each within its jitter.
func TestBackoffGrows(t *testing.T) {
	var mu sync.Mutex
	var waits []time.Duration
	enough := make(chan struct{})
	tm := quick()
	tm.jitter = func(d time.Duration) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		if waits = append(waits, d); len(waits) == 7 {
			close(enough)
		}
		return d
	}
	path := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	supervised(t, Config{Path: path}, tm)
	next(t, "seven waits", enough)
	mu.Lock()
	defer mu.Unlock()
	ms := time.Millisecond
	if want := []time.Duration{ms, 2 * ms, 4 * ms, 8 * ms, 16 * ms, 20 * ms, 20 * ms}; !slices.Equal(waits[:7], want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
}

func TestJitter(t *testing.T) {
	low, high := time.Hour, time.Duration(0)
	for range 10_000 {
		d := jitter(100 * time.Millisecond)
		low, high = min(low, d), max(high, d)
	}
	if low < 80*time.Millisecond || low > 85*time.Millisecond || high > 120*time.Millisecond || high < 115*time.Millisecond {
		t.Errorf("from %v to %v, want 80 to 120 ms", low, high)
	}
}

func TestNoSecretReachesThePlugin(t *testing.T) {
	t.Setenv("ENCRYPTION_KEY", "k3y")
	w := supervised(t, Config{Path: testPlugin}, quick())
	res := next(t, "answer", ask(next(t, "up", w.up), `{"do":"env","text":"ENCRYPTION_KEY"}`))
	var report struct{ Text string }
	if err := json.Unmarshal(res.Payload, &report); err != nil || report.Text != "" {
		t.Errorf("%s, %v", res.Payload, err)
	}
}
