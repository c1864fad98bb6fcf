package supervise

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rrhost/host/internal/dispatch"
	"rrhost/internal/attach"
	"rrhost/internal/plugindir"
	"rrhost/internal/process"
)

// byHand starts the test plugin as its author does, to wait for a host.
func byHand(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(testPlugin)
	cmd.Env = append(os.Environ(), attach.Env+"="+path)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil { // its standard input is empty, as an IDE leaves it
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}

// reported waits for what the test plugin answers.
func reported(t *testing.T, outcome <-chan dispatch.Outcome) (r struct {
	PID, Attempt int
	Text         string
}) {
	t.Helper()
	o := next(t, "answer", outcome)
	if err := json.Unmarshal(o.Payload, &r); err != nil {
		t.Fatalf("%+v: %v", o, err)
	}
	return r
}

// TestAttached: the host uses a process that it has not started, waits for the
// next when that one ends, and leaves it alone when the host ends.
func TestAttached(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "private", "p")
	w := &watched{
		lane: dispatch.NewLane("p", 1000), up: make(chan *Instance, 10), down: make(chan error, 10),
		rejected: make(chan error, 10), switched: make(chan plugindir.Build, 10),
	}
	var events []StateName
	a := Attach(Config{Name: "p", Traffic: w, Process: process.Config{Settings: map[string]any{"text": "for you"}},
		Events: func(e Event) { events = append(events, e.State.State) }}, path)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); a.Run(ctx) }()
	defer func() { cancel(); <-ended }()

	// A request waits for the author, and gets the process that comes.
	first := w.request(`{"do":"settings"}`)
	one := byHand(t, path)
	if got := reported(t, first); got.PID != one.Process.Pid || got.Text != "for you" {
		t.Errorf("answered by %+v, want process %d", got, one.Process.Pid)
	}
	next(t, "up", w.up)
	if s := a.State(); s.State != StateReady || s.PID != one.Process.Pid || s.Version != attachedVersion || len(s.Handlers) != 2 || len(s.Instances) != 1 {
		t.Errorf("state %+v", s)
	}
	for _, do := range []func(context.Context) error{a.Reload, a.Rollback} {
		if err := do(t.Context()); err == nil || !strings.Contains(err.Error(), "do so yourself") {
			t.Errorf("the host did something to it: %v", err)
		}
	}

	// What was in it when it was killed is tried again in the next.
	again := w.request(`{"do":"exit","once":true,"ms":3}`)
	if err := one.Wait(); err == nil {
		t.Error("it did not exit")
	}
	next(t, "down", w.down)
	two := byHand(t, path)
	if got := reported(t, again); got.PID != two.Process.Pid || got.Attempt != 2 {
		t.Errorf("tried again: %+v, want process %d", got, two.Process.Pid)
	}
	next(t, "up", w.up)

	// A signal lets it finish.
	if err := two.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := two.Wait(); err != nil {
		t.Errorf("on SIGINT: %v", err)
	}
	next(t, "down", w.down)
	three := byHand(t, path)
	next(t, "up", w.up)
	cancel()
	next(t, "end of Run", ended)
	if err := three.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the process ended with its host: %v", err)
	}
	want := "starting ready starting ready starting ready draining stopped"
	var names []string
	for _, e := range events {
		names = append(names, string(e))
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("states %s, want %s", got, want)
	}
}
