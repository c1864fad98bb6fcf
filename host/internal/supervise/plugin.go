package supervise

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"rrhost/internal/process"
	"rrhost/internal/stream"
)

// What a live process is to its users.
type (
	// Instance is the stream to one process.
	Instance = stream.Instance
	// Request is what a plugin is asked.
	Request = stream.Request
	// Result is what came of it.
	Result = stream.Result
)

// Defaults of [Config].
const (
	DefaultStartTimeout = 10 * time.Second
	DefaultStopTimeout  = 3 * time.Second
)

// Config is one plugin, and whom to tell about it.
type Config struct {
	// Name, Path, Dir and Version are as [Find] found them.
	Name, Path, Dir, Version string
	// Env lists the host's environment variables that the plugin gets, beside
	// PATH, HOME, TMPDIR, LANG and TZ.
	Env []string
	// StartTimeout bounds the time from start to ready. Defaults to 10 s.
	StartTimeout time.Duration
	// StopTimeout is how long a process has to end when asked, before it is
	// killed. Defaults to 3 s.
	StopTimeout time.Duration
	// MaxPayload bounds payloads in both directions, in bytes. Defaults to
	// 1,000,000.
	MaxPayload int
	// Settings is the plugin's own section of the configuration.
	Settings map[string]any
	// Logger gets what the plugin prints, and its changes of state.
	Logger hclog.Logger

	// The callbacks are called one after another, from Run's goroutine. They
	// may be nil, and must not wait for Run.

	// Up hands over a process that is ready.
	Up func(*Instance)
	// Down takes it back once it has ended and every request has its result.
	// cause is nil where Run's context ended it.
	Down func(i *Instance, cause error)
	// Rejected is called where starting again won't help.
	Rejected func(error)
	// Events gets every change of state.
	Events func(Event)
}

// A Plugin is one plugin under supervision.
type Plugin struct {
	cfg  Config
	time timing

	mu    sync.Mutex
	state State
}

// timing is how long a supervisor waits for what; tests shorten it.
type timing struct {
	first, longest time.Duration // backoff
	stable         time.Duration // a life of this length is a success: backoff starts over
	rejected       time.Duration // between tries of what is rejected
	health         time.Duration // between health checks
	healthTimeout  time.Duration // of one
	strikes        int           // failed checks in a row that end a process
	jitter         func(time.Duration) time.Duration
}

var defaultTiming = timing{
	first: 100 * time.Millisecond, longest: 30 * time.Second, stable: 10 * time.Second,
	rejected: time.Minute,
	health:   5 * time.Second, healthTimeout: 5 * time.Second, strikes: 3,
	jitter: jitter,
}

// jitter spreads d by a fifth both ways, so that plugins that died together
// don't start together.
func jitter(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5+1)
}

// New makes a plugin that [Plugin.Run] starts.
func New(cfg Config) *Plugin {
	if cfg.StartTimeout <= 0 {
		cfg.StartTimeout = DefaultStartTimeout
	}
	if cfg.StopTimeout <= 0 {
		cfg.StopTimeout = DefaultStopTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	return &Plugin{cfg: cfg, time: defaultTiming, state: State{
		Name: cfg.Name, Version: cfg.Version, State: StateFound, Since: time.Now(),
	}}
}

// State returns the plugin's state now.
func (p *Plugin) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Run starts the plugin, and starts it again after a growing wait whenever it
// ends, until ctx is done: let what runs finish before. It owns the process and
// every goroutine: after Run none is left. It always returns nil; that a plugin
// does not run is a state, not the end of its supervision.
func (p *Plugin) Run(ctx context.Context) error {
	defer p.change(0, func(s *State) { s.State, s.PID = StateStopped, 0 })
	for wait := p.time.first; ; {
		start := time.Now()
		err := p.live(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(start) >= p.time.stable {
			wait = p.time.first
		}
		pause, state := p.time.jitter(wait), StateBackingOff
		if process.Hopeless(err) {
			pause, state = p.time.rejected, StateRejected
		} else {
			wait = min(2*wait, p.time.longest)
		}
		p.change(pause, func(s *State) { s.State, s.PID, s.LastError = state, 0, err })
		if state == StateRejected && p.cfg.Rejected != nil {
			p.cfg.Rejected(err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		p.change(0, func(s *State) { s.Restarts++ })
	}
}

// live is one life of the process. It returns why it ended.
func (p *Plugin) live(ctx context.Context) error {
	p.change(0, func(s *State) { s.State = StateStarting })
	startCtx, cancel := context.WithTimeout(ctx, p.cfg.StartTimeout)
	proc, err := process.Start(startCtx, process.Config{
		Name: p.cfg.Name, Version: p.cfg.Version, Path: p.cfg.Path, Dir: p.cfg.Dir,
		Env: p.cfg.Env, MaxPayload: p.cfg.MaxPayload, Settings: p.cfg.Settings, Logger: p.cfg.Logger,
	})
	cancel()
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	i := proc.Instance()
	p.change(0, func(s *State) {
		s.State, s.PID, s.Handlers, s.SDK = StateReady, proc.PID(), i.About().Handlers, i.About().SDK
	})
	if p.cfg.Up != nil {
		p.cfg.Up(i)
	}
	sick := p.watch(ctx, proc)
	if ctx.Err() != nil {
		p.change(0, func(s *State) { s.State = StateDraining })
	}
	// ctx may be over, so the goodbye needs a deadline of its own.
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.StopTimeout)
	defer cancel()
	cause := proc.Stop(stopCtx)
	if sick != nil {
		cause = sick
	}
	if cause == nil && ctx.Err() == nil {
		cause = stream.ErrEnded
	}
	if p.cfg.Down != nil {
		p.cfg.Down(i, cause)
	}
	return cause
}

// watch returns when the process has ended or must, or ctx is done. A process
// that hangs is killed, and that is its error.
func (p *Plugin) watch(ctx context.Context, proc *process.Process) error {
	tick := time.NewTicker(p.time.health)
	defer tick.Stop()
	for strikes := 0; ; {
		select {
		case <-proc.Done():
			return nil
		case <-proc.Exited():
			return nil
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		checkCtx, cancel := context.WithTimeout(ctx, p.time.healthTimeout)
		err := proc.Check(checkCtx)
		cancel()
		select {
		case <-proc.Exited():
			return nil // the exit is the reason, not the check
		default:
		}
		if err == nil || ctx.Err() != nil {
			strikes = 0
			continue
		}
		if strikes++; strikes >= p.time.strikes {
			proc.Kill()
			return fmt.Errorf("it hangs and was killed: %w", err)
		}
	}
}

// change makes a change of state, and tells about it if the state's name is
// another.
func (p *Plugin) change(wait time.Duration, do func(*State)) {
	p.mu.Lock()
	was := p.state.State
	do(&p.state)
	changed := p.state.State != was
	if changed {
		p.state.Since = time.Now()
	}
	now := p.state
	p.mu.Unlock()
	if !changed {
		return
	}
	p.log(now, wait)
	if p.cfg.Events != nil {
		p.cfg.Events(Event{State: now, Was: was, Wait: wait})
	}
}

func (p *Plugin) log(s State, wait time.Duration) {
	l := p.cfg.Logger.With("plugin", s.Name, "version", s.Version)
	switch s.State {
	case StateBackingOff:
		l.Warn("plugin ended", "error", s.LastError, "starts_again_in", wait.Round(time.Millisecond), "restarts", s.Restarts)
	case StateRejected:
		l.Error("plugin rejected", "error", s.LastError, "tried_again_in", wait)
	case StateReady:
		l.Info("plugin ready", "pid", s.PID)
	default:
		l.Debug("plugin " + string(s.State))
	}
}
