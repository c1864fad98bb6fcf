package supervise

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"rrhost/host/internal/dispatch"
	"rrhost/internal/handler"
	"rrhost/internal/plugindir"
	"rrhost/internal/stream"
)

// watched is a plugin under supervision, its directory, and what was told about
// it. It is its own traffic.
type watched struct {
	*Plugin
	dir      string
	lane     *dispatch.Lane
	up       chan *Instance
	down     chan error
	rejected chan error
	switched chan plugindir.Build

	mu     sync.Mutex
	states []string
}

func (w *watched) route() map[string]dispatch.Route {
	return map[string]dispatch.Route{"t": {Handler: "work"}}
}

func (w *watched) Join(i *Instance, b plugindir.Build) {
	w.lane.Up(i, b.Version, w.route())
	w.up <- i
}

func (w *watched) Switch(to []*Instance, b plugindir.Build) {
	var list []dispatch.Instance
	for _, i := range to {
		list = append(list, i)
	}
	w.lane.Switch(list, b.Version, w.route())
	w.switched <- b
}
func (w *watched) Retire(i *Instance)                  { w.lane.Retire(i) }
func (w *watched) Drained(i *Instance) <-chan struct{} { return w.lane.Drained(i) }
func (w *watched) Running(i *Instance) int             { return w.lane.Running(i) }
func (w *watched) Reject(err error)                    { w.lane.Reject(err.Error()); w.rejected <- err }
func (w *watched) Leave(i *Instance, cause error) {
	if i == nil {
		return
	}
	w.lane.Down(i, "")
	w.down <- cause
}

func quick() timing {
	t := defaultTiming
	t.first, t.longest, t.held = time.Millisecond, 20*time.Millisecond, 20*time.Millisecond
	t.look, t.settle = 5*time.Millisecond, 20*time.Millisecond
	t.holdAfter = 1000
	t.jitter = func(d time.Duration) time.Duration { return d }
	return t
}

// install puts a build of the test plugin into the directory: which tells builds
// apart.
func (w *watched) install(t *testing.T, which string) {
	t.Helper()
	text, err := os.ReadFile(testPlugin)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, append(text, which...))
}

// write replaces the plugin at once, as an operator should.
func (w *watched) write(t *testing.T, text []byte) {
	t.Helper()
	tmp := filepath.Join(w.dir, ".tmp")
	// A process that another test starts meanwhile would have the file open for
	// writing until it runs its program.
	syscall.ForkLock.RLock()
	err := os.WriteFile(tmp, text, 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(w.dir, "p")); err != nil {
		t.Fatal(err)
	}
}

// supervised runs a plugin until the test ends.
func supervised(t *testing.T, cfg Config, tm timing) *watched {
	w := prepared(t, cfg, tm)
	w.install(t, "1")
	w.run(t)
	return w
}

func prepared(t *testing.T, cfg Config, tm timing) *watched {
	t.Helper()
	w := &watched{
		dir: t.TempDir(), lane: dispatch.NewLane("p", 1000),
		up: make(chan *Instance, 100), down: make(chan error, 100), rejected: make(chan error, 100), switched: make(chan plugindir.Build, 100),
	}
	var err error
	if cfg.Store, err = plugindir.OpenStore(filepath.Join(t.TempDir(), "store"), true); err != nil {
		t.Fatal(err)
	}
	cfg.Name, cfg.Dir, cfg.Traffic = "p", w.dir, w
	cfg.Events = func(e Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.states = append(w.states, string(e.Was)+">"+string(e.To()))
	}
	w.Plugin = New(cfg)
	w.time = tm
	return w
}

func (w *watched) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		if s := w.State(); s.State != StateStopped || s.PID != 0 {
			t.Errorf("after Run: %+v", s)
		}
	})
}

func next[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("never: %s", what)
		panic("unreachable")
	}
}

// until waits for a condition that nothing tells about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func ask(i *Instance, order string) <-chan stream.Result {
	results := make(chan stream.Result, 1)
	i.Start(stream.Request{
		Handler: "work", Info: handler.Info{RequestID: "id", Attempt: 1},
		Deadline: time.Now().Add(time.Minute), Payload: []byte(order),
	}, func(r stream.Result) { results <- r })
	return results
}
