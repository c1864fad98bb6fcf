package supervise

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"rrhost/internal/attach"
	"rrhost/internal/plugindir"
	"rrhost/internal/process"
	"rrhost/internal/stream"
)

// attachLook is the time between looks for a process to attach to.
const attachLook = 100 * time.Millisecond

// attachedVersion stands for the version of what has none.
const attachedVersion = "attached"

// An Attached is a plugin whose process its author starts and ends, such as with
// a debugger. The host uses whatever listens at a path, and waits for the next
// when that has gone; requests wait meanwhile. Nothing is checked for health: a
// process that stands at a breakpoint is not sick.
type Attached struct {
	cfg  Config
	path string

	mu    sync.Mutex
	state State
	on    *Instance // nil if there is none
}

// Attach makes a plugin that listens at path and is used while [Attached.Run] runs.
func Attach(cfg Config, path string) *Attached {
	p := New(cfg) // with its defaults
	return &Attached{cfg: p.cfg, path: path, state: p.state}
}

// State returns the plugin's state now.
func (a *Attached) State() State {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.state
	if a.on != nil {
		s.Instances = []InstanceState{{
			Number: 1, Version: s.Version, PID: s.PID, State: s.State, Since: s.Since, InFlight: a.cfg.Traffic.Running(a.on),
		}}
	}
	return s
}

// errAttached is why a host does nothing to a process that is not its own.
var errAttached = errors.New("the host is attached to this plugin, and does not start or end it: do so yourself")

// Reload is an error: the process is its author's.
func (a *Attached) Reload(context.Context) error { return errAttached }

// Restart is an error likewise.
func (a *Attached) Restart(context.Context) error { return errAttached }

// Rollback is an error likewise.
func (a *Attached) Rollback(context.Context) error { return errAttached }

// Run uses the processes that come until ctx is done: let what runs finish before.
// After it no connection and no goroutine is left; the process is.
func (a *Attached) Run(ctx context.Context) {
	defer a.set(func(s *State) { s.State, s.PID = StateStopped, 0 })
	a.set(func(s *State) { s.State = StateStarting })
	a.cfg.Traffic.Leave(nil, fmt.Errorf("nobody has started it with %s=%s yet", attach.Env, a.path))
	for {
		proc := a.await(ctx)
		if proc == nil {
			return
		}
		a.use(ctx, proc)
		if ctx.Err() != nil {
			return
		}
		a.set(func(s *State) {
			s.State, s.PID = StateStarting, 0
			s.Restarts++
		})
	}
}

// await attaches to the next process; nil once ctx is done.
func (a *Attached) await(ctx context.Context) *process.Attached {
	tick := time.NewTicker(attachLook)
	defer tick.Stop()
	for told := ""; ; {
		proc, err := a.connect(ctx)
		if err == nil {
			return proc
		}
		if ctx.Err() == nil && !attach.Absent(err) && err.Error() != told {
			told = err.Error()
			a.cfg.Logger.Error("plugin cannot be attached to", "plugin", a.cfg.Name, "error", err)
			a.set(func(s *State) { s.LastError = err })
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *Attached) connect(ctx context.Context) (*process.Attached, error) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.StartTimeout)
	defer cancel()
	cfg := a.cfg.Process
	cfg.Name, cfg.Logger = a.cfg.Name, a.cfg.Logger
	cfg.Accept = func(about stream.About) error { return CheckSettings(about, cfg.Settings, a.cfg.Place) }
	return process.Attach(ctx, cfg, a.path)
}

// use sends requests to proc until it has gone, or ctx is done and they have
// finished.
func (a *Attached) use(ctx context.Context, proc *process.Attached) {
	i := proc.Instance()
	about := i.About()
	version := about.Version
	if version == "" {
		version = attachedVersion
	}
	a.cfg.Traffic.Join(i, plugindir.Build{Name: a.cfg.Name, Version: version})
	a.mu.Lock()
	a.on = i
	a.mu.Unlock()
	a.set(func(s *State) {
		s.State, s.Version, s.PID, s.LastError = StateReady, version, proc.PID(), nil
		s.Handlers, s.SDK = about.Handlers, about.SDK
	})
	a.cfg.Logger.Info("plugin attached", "plugin", a.cfg.Name, "version", version, "pid", proc.PID())
	select {
	case <-proc.Done():
	case <-ctx.Done():
		a.set(func(s *State) { s.State = StateDraining })
		a.cfg.Traffic.Retire(i)
		select {
		case <-a.cfg.Traffic.Drained(i):
		case <-proc.Done():
		}
	}
	cause := proc.Close()
	a.mu.Lock()
	a.on = nil
	a.mu.Unlock()
	if ctx.Err() == nil {
		a.cfg.Logger.Info("plugin has gone, and is waited for", "plugin", a.cfg.Name, "cause", cause)
	}
	a.cfg.Traffic.Leave(i, cause)
}

// set changes the state, and tells about it if it is another one.
func (a *Attached) set(do func(*State)) {
	a.mu.Lock()
	was := a.state.State
	do(&a.state)
	now := a.state
	if now.State != was {
		now.Since = time.Now()
		a.state.Since = now.Since
	}
	a.mu.Unlock()
	if now.State != was && a.cfg.Events != nil {
		a.cfg.Events(Event{State: now, Was: was})
	}
}
