package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rrhost/host/internal/dispatch"
	"rrhost/internal/handler"
	"rrhost/internal/plugindir"
	"rrhost/internal/process"
	"rrhost/internal/testprograms"
	"rrhost/internal/wire"
)

var testPlugin string // built once

// patience bounds a wait; only a failure reaches it, on a busy machine too.
const patience = 90 * time.Second

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rrtest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	testPlugin = filepath.Join(dir, "testplugin")
	if err := testprograms.Build(dir, "rrhost/internal/testplugin"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

func TestLivesAgainAfterDeath(t *testing.T) {
	t.Parallel()
	w := supervised(t, Config{}, quick())
	var pids []int
	for n := range 3 {
		i := next(t, "up", w.up)
		s := w.State()
		if s.State != StateReady || s.PID == 0 || s.Restarts != n || s.Instances[0].InFlight != 0 || len(s.Handlers) != 2 || !strings.HasPrefix(s.SDK, "go ") {
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
	if want := []string{"found>verified", "verified>starting", "starting>ready", "ready>backing off", "backing off>starting", "starting>ready"}; !slices.Equal(w.states[:6], want) {
		t.Errorf("states %v, want %v first", w.states, want)
	}
}

// A stop waits for what runs: who supervises sees to it that it ends.
func TestStopDrains(t *testing.T) {
	w := prepared(t, Config{}, quick())
	w.install(t, "1")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	next(t, "up", w.up)
	pid := w.State().PID
	running := w.request(`{"do":"sleep","ms":200}`)
	until(t, "in flight", func() bool { return w.State().Instances[0].InFlight == 1 })
	cancel()
	if o := next(t, "answer", running); o.Status != wire.StatusOK {
		t.Errorf("%+v", o)
	}
	next(t, "end of Run", done)
	if cause := next(t, "down", w.down); cause != nil {
		t.Errorf("down: %v, want no cause", cause)
	}
	if syscall.Kill(pid, 0) == nil {
		t.Errorf("process %d is left", pid)
	}
}

// request goes through the lane.
func (w *watched) request(order string) <-chan dispatch.Outcome {
	outcomes := make(chan dispatch.Outcome, 1)
	w.lane.Start(dispatch.Request{
		Info: handler.Info{RequestID: "id", Topic: "t"}, Payload: []byte(order),
		Deadline: time.Now().Add(time.Minute), MaxAttempts: 2,
	}, func(o dispatch.Outcome) { outcomes <- o })
	return outcomes
}

func TestRejectedIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := supervised(t, Config{Process: process.Config{Settings: map[string]any{"refuse": true}}}, quick())
	for range 2 {
		if err := next(t, "rejected", w.rejected); !strings.Contains(err.Error(), "refuse is set") {
			t.Errorf("rejected: %v", err)
		}
	}
	if s := w.State(); s.LastError == nil {
		t.Errorf("%+v", s)
	}
}

// A plugin that isn't there yet runs once it is, and one that goes away drains.
func TestInstalledAndRemoved(t *testing.T) {
	t.Parallel()
	w := prepared(t, Config{}, quick())
	w.run(t)
	if err := next(t, "rejected", w.rejected); !errors.Is(err, plugindir.ErrAbsent) {
		t.Errorf("rejected: %v", err)
	}
	w.install(t, "1")
	next(t, "up", w.up)
	running := w.request(`{"do":"sleep","ms":300}`)
	until(t, "in flight", func() bool { return w.State().Instances[0].InFlight == 1 })
	if err := os.Remove(filepath.Join(w.dir, "p")); err != nil {
		t.Fatal(err)
	}
	next(t, "rejected", w.rejected)
	if s := w.State(); len(running) == 0 && (s.State != StateDraining || !errors.Is(s.LastError, plugindir.ErrAbsent) || len(s.Instances) != 1) {
		t.Errorf("while it runs: %+v", s)
	}
	if o := next(t, "answer", running); o.Status != wire.StatusOK {
		t.Errorf("what ran: %+v", o)
	}
	if cause := next(t, "down", w.down); cause != nil {
		t.Errorf("down: %v", cause)
	}
	if o := next(t, "answer", w.request(`{}`)); o.Status != wire.StatusPluginUnavailable {
		t.Errorf("after: %+v", o)
	}
	until(t, "it shows as rejected", func() bool { return w.State().State == StateRejected })
	w.mu.Lock()
	if states := w.states[len(w.states)-3:]; !slices.Equal(states, []string{"ready>draining", "draining>stopped", "draining>rejected"}) {
		t.Errorf("states %v", w.states)
	}
	w.mu.Unlock()
	w.install(t, "2")
	next(t, "up", w.up)
}

// A new build takes over at once; what runs at the old one may finish.
func TestReplaced(t *testing.T) {
	t.Parallel()
	w := supervised(t, Config{Instances: 2}, quick())
	next(t, "up", w.up)
	next(t, "up", w.up)
	old := w.State()
	running := w.request(`{"do":"sleep","ms":300,"nonce":"n"}`)
	w.install(t, "2")
	b := next(t, "switch", w.switched)
	if b.Digest == old.Digest {
		t.Error("the digest is the old one's")
	}
	after := next(t, "answer", w.request(`{}`))
	if want := wire.PluginText("p", b.Version); after.Status != wire.StatusOK || after.Plugin != want {
		t.Errorf("after the switch: %+v, want %s", after, want)
	}
	if o := next(t, "answer", running); o.Status != wire.StatusOK || o.Plugin != wire.PluginText("p", old.Version) {
		t.Errorf("what ran: %+v", o)
	}
	for range 2 {
		if cause := next(t, "down", w.down); cause != nil {
			t.Errorf("down: %v", cause)
		}
	}
	until(t, "only the new ones are left", func() bool { return len(w.State().Instances) == 2 })
	if s := w.State(); s.Restarts != 0 || s.Digest != b.Digest || s.State != StateReady {
		t.Errorf("%+v", s)
	}
}

// A bad build is refused, and the old one stays.
func TestBadBuildIsRefused(t *testing.T) {
	t.Parallel()
	w := supervised(t, Config{}, quick())
	next(t, "up", w.up)
	good := w.State()
	for _, bad := range []string{"not a program", "", "#!/bin/sh\necho no such luck >&2\nexit 1\n"} {
		w.write(t, []byte(bad))
		until(t, "refused", func() bool { return w.State().Refused != nil })
		if s := w.State(); s.Digest != good.Digest || s.PID != good.PID || s.State != StateReady {
			t.Errorf("%q: %+v", bad, s)
		}
		if o := next(t, "answer", w.request(`{}`)); o.Status != wire.StatusOK {
			t.Errorf("%q: %+v", bad, o)
		}
		if lines := w.State().LastLines; strings.HasPrefix(bad, "#!") && !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "no such luck") }) {
			t.Errorf("%q: its last lines are %q", bad, lines)
		}
		w.install(t, "1") // what runs
		until(t, "forgotten", func() bool { return w.State().Refused == nil })
	}
	if s := w.State(); s.PID != good.PID {
		t.Error("what was put back was started anew")
	}
}

// A rollback holds until the directory changes, over a restart of the host too.
func TestRollback(t *testing.T) {
	t.Parallel()
	w := supervised(t, Config{}, quick())
	next(t, "up", w.up)
	first := w.State().Digest
	ctx := t.Context()
	if err := w.Rollback(ctx); err == nil || !strings.Contains(err.Error(), "no earlier build") {
		t.Errorf("with nothing before: %v", err)
	}
	w.install(t, "2")
	second := next(t, "switch", w.switched).Digest
	if err := w.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if s := w.State(); s.Digest != first || !s.Pinned {
		t.Errorf("%+v", s)
	}
	again := prepared(t, Config{}, quick())
	again.dir, again.cfg.Dir, again.cfg.Store = w.dir, w.dir, w.cfg.Store
	again.run(t)
	next(t, "up", again.up)
	if s := again.State(); s.Digest != first || !s.Pinned {
		t.Errorf("another host: %+v", s)
	}
	w.install(t, "3")
	until(t, "the third runs", func() bool { s := w.State(); return s.Digest != first && s.Digest != second && !s.Pinned })
}

// Reload starts what is there anew.
func TestReload(t *testing.T) {
	w := supervised(t, Config{}, quick())
	next(t, "up", w.up)
	was := w.State()
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := w.State(); s.PID == was.PID || s.Digest != was.Digest || s.State != StateReady {
		t.Errorf("%+v", s)
	}
}

// A plugin that fails by itself is held; one that requests kill is not.
func TestHold(t *testing.T) {
	t.Parallel()
	tm := quick()
	tm.holdAfter, tm.held = 3, time.Hour
	w := prepared(t, Config{}, tm)
	w.write(t, []byte("#!/bin/sh\necho no such luck >&2\nexit 1\n"))
	w.run(t)
	until(t, "held", func() bool { return w.State().Held })
	if s := w.State(); s.State != StateBackingOff || s.LastError == nil || !strings.Contains(s.LastError.Error(), "no such luck") {
		t.Errorf("%+v", s)
	}
	w.install(t, "1") // a change ends it
	i := next(t, "up", w.up)
	for range 2 * tm.holdAfter {
		next(t, "crash", ask(i, `{"do":"exit","ms":3}`))
		i = next(t, "up again", w.up)
	}
	if s := w.State(); s.Held {
		t.Errorf("%+v", s)
	}
}

// A life that stood, or that a request ended, is a new start for the hold as it
// is for the waits.
func TestHoldStartsAgain(t *testing.T) {
	p := New(Config{})
	for round := range 2 {
		for n := range p.time.holdAfter {
			if held, want := p.failed(false), n == p.time.holdAfter-1; held != want {
				t.Errorf("round %d, failure %d: held %v", round, n, held)
			}
		}
		if p.failed(true) || p.State().Held {
			t.Errorf("round %d: held, after a life that stood", round)
		}
	}
}

func TestLocked(t *testing.T) {
	w := prepared(t, Config{Locked: true}, quick())
	w.install(t, "1")
	w.run(t)
	if err := next(t, "rejected", w.rejected); !strings.Contains(err.Error(), "rrhost plugin trust p") {
		t.Errorf("rejected: %v", err)
	}
	digest, _, err := plugindir.Identify(plugindir.Look(w.dir, "p"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cfg.Store.Change("p", func(n *plugindir.Note) { n.Trust(digest) }); err != nil {
		t.Fatal(err)
	}
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	next(t, "up", w.up)
	w.install(t, "2")
	until(t, "refused", func() bool { return w.State().Refused != nil })
	if s := w.State(); s.Digest != digest {
		t.Errorf("%+v", s)
	}
}

func TestStrict(t *testing.T) {
	w := prepared(t, Config{Strict: true}, quick())
	w.install(t, "1")
	if err := os.Chmod(filepath.Join(w.dir, "p"), 0o777); err != nil {
		t.Fatal(err)
	}
	w.run(t)
	if err := next(t, "rejected", w.rejected); !strings.Contains(err.Error(), "chmod go-w ") && !strings.Contains(err.Error(), "chmod o-w ") {
		t.Errorf("rejected: %v", err)
	}
	if err := os.Chmod(filepath.Join(w.dir, "p"), 0o700); err != nil {
		t.Fatal(err)
	}
	next(t, "up", w.up)
}

func TestHangIsEnded(t *testing.T) {
	t.Parallel()
	tm := quick()
	tm.health, tm.healthTimeout, tm.strikes = 20*time.Millisecond, 100*time.Millisecond, 2
	w := supervised(t, Config{}, tm)
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
	w := prepared(t, Config{}, tm)
	w.write(t, []byte("#!/bin/sh\nexit 1\n"))
	w.run(t)
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
		d := New(Config{}).time.jitter(100 * time.Millisecond)
		low, high = min(low, d), max(high, d)
	}
	if low < 80*time.Millisecond || low > 85*time.Millisecond || high > 120*time.Millisecond || high < 115*time.Millisecond {
		t.Errorf("from %v to %v, want 80 to 120 ms", low, high)
	}
}

func TestNoSecretReachesThePlugin(t *testing.T) {
	t.Setenv("ENCRYPTION_KEY", "k3y")
	w := supervised(t, Config{}, quick())
	res := next(t, "answer", ask(next(t, "up", w.up), `{"do":"env","text":"ENCRYPTION_KEY"}`))
	var report struct{ Text string }
	if err := json.Unmarshal(res.Payload, &report); err != nil || report.Text != "" {
		t.Errorf("%s, %v", res.Payload, err)
	}
}
