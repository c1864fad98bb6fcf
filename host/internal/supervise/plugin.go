// Package supervise keeps plugins running: it starts their processes, watches
// them, starts them again, and puts a new build in the place of an old one
// without a request lost. One life of a process is package process's; which
// process a request goes to is package dispatch's.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"rrhost/internal/plugindir"
	"rrhost/internal/process"
	"rrhost/internal/stream"
)

// Instance is the stream to one process.
type Instance = stream.Instance

// Defaults of [Config].
const (
	DefaultStartTimeout = 10 * time.Second
	DefaultStopTimeout  = 3 * time.Second
)

func (c Config) withDefaults() Config {
	if c.StartTimeout <= 0 {
		c.StartTimeout = DefaultStartTimeout
	}
	if c.StopTimeout <= 0 {
		c.StopTimeout = DefaultStopTimeout
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Place == nil {
		c.Place = func(...string) string { return "" }
	}
	return c
}

// Traffic is where requests come from. Its methods are called from several
// goroutines, and must not wait for the plugin.
type Traffic interface {
	// Join adds an instance that is ready.
	Join(i *Instance, b plugindir.Build)
	// Switch makes these the only ones that get requests from now on.
	Switch(to []*Instance, b plugindir.Build)
	// Retire sends no more requests to i.
	Retire(i *Instance)
	// Drained is closed once i gets no more requests and none runs there.
	Drained(i *Instance) <-chan struct{}
	// Running is how many requests run at i.
	Running(i *Instance) int
	// Leave takes an instance back once it has ended and every request has its
	// result. cause is nil where that was wanted. A nil i is one that did not
	// start.
	Leave(i *Instance, cause error)
	// Reject says that no instance is up, or will be before something changes.
	Reject(cause error)
}

// Config is one plugin, and whom to tell about it.
type Config struct {
	Name string
	// Dir is the plugin directory, Store the host's copies of what runs.
	Dir   string
	Store *plugindir.Store
	// Strict refuses what others could have written; Locked what is not noted as
	// trusted.
	Strict, Locked bool
	// Process is how to start one: name, program and logger are filled in.
	Process process.Config
	// Allowed lists the environment variables that plugins may have; Process.Env
	// those that this one gets whatever its manifest asks for.
	Allowed []string
	// Instances is how many processes share the requests. Default: the
	// manifest's, else 1.
	Instances int
	// StartTimeout bounds the time from start to ready. Defaults to 10 s.
	StartTimeout time.Duration
	// StopTimeout is how long a process has to end when asked, before it is
	// killed. Defaults to 3 s.
	StopTimeout time.Duration
	// Manual: what changes in the directory is run at [Plugin.Reload] alone.
	Manual bool
	// Place tells where a key of the plugin's own configuration stands.
	Place   func(keys ...string) string
	Traffic Traffic
	// Logger gets what the plugin prints, and its changes of state.
	Logger hclog.Logger
	// Events gets every change of state; it may be nil, is called from several
	// goroutines, and must not wait for the plugin.
	Events func(Event)
}

// A Plugin is one plugin under supervision.
type Plugin struct {
	cfg    Config
	time   timing
	orders chan instruction

	// Owned by Run's goroutine.
	seen     string // the fingerprint of what was looked at last
	changing string // a newer one, that may change yet
	since    time.Time

	warned sync.Once // about trust

	mu       sync.Mutex // guards all below
	state    State
	live     *generation   // changed by Run's goroutine alone; nil: there is nothing to run
	retiring []*generation // that drain, likewise
	failures []time.Time   // that count towards the hold
}

// timing is how long a supervisor waits for what; tests shorten it.
type timing struct {
	first, longest time.Duration // backoff
	stable         time.Duration // a life of this length is a success
	held           time.Duration // between tries of what is held or rejected
	holdAfter      int           // failures
	holdWithin     time.Duration
	look           time.Duration // between looks at the directory, at least
	settle         time.Duration // without a change before a change counts
	health         time.Duration // between health checks
	healthTimeout  time.Duration // of one
	strikes        int           // failed checks in a row that end a process
	jitter         func(time.Duration) time.Duration
}

var defaultTiming = timing{
	first: 100 * time.Millisecond, longest: 30 * time.Second, stable: 10 * time.Second,
	held: 30 * time.Second, holdAfter: 5, holdWithin: time.Minute,
	look: 500 * time.Millisecond, settle: 300 * time.Millisecond,
	health: 5 * time.Second, healthTimeout: 5 * time.Second, strikes: 3,
	jitter: jitter,
}

// jitter spreads d by a fifth both ways, so that plugins that died together
// don't start together.
func jitter(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5+1)
}

// New makes a plugin that [Plugin.Run] starts.
func New(cfg Config) *Plugin {
	return &Plugin{cfg: cfg.withDefaults(), time: defaultTiming, orders: make(chan instruction), state: State{
		Name: cfg.Name, State: StateFound, Since: time.Now(),
	}}
}

// State returns the plugin's state now.
func (p *Plugin) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now()
}

// now is the state with all instances. p.mu is held.
func (p *Plugin) now() State {
	s := p.state
	s.Instances = nil
	for _, g := range p.generations() {
		for _, seat := range g.seats {
			i := seat.state
			if seat.on != nil {
				i.InFlight = p.cfg.Traffic.Running(seat.on)
			}
			if g == p.live || i.State != StateStopped {
				s.Instances = append(s.Instances, i)
			}
		}
	}
	return s
}

// generations are all that have processes, the current one first.
func (p *Plugin) generations() []*generation {
	var all []*generation
	if p.live != nil {
		all = append(all, p.live)
	}
	return append(all, p.retiring...)
}

// An instruction is what an operator wants, for Run's goroutine.
type instruction struct {
	do    func(ctx context.Context) error
	reply chan error
}

// ErrStopped is the error of an order to a plugin that is not supervised any
// more.
var ErrStopped = errors.New("the host is stopping")

func (p *Plugin) order(ctx context.Context, do func(context.Context) error) error {
	o := instruction{do, make(chan error, 1)}
	select {
	case p.orders <- o:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-o.reply:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Reload starts what is in the directory now, also if it is what runs, and puts
// it in its place; where nothing runs, it shortens the wait. It returns once the
// new one is ready or refused.
func (p *Plugin) Reload(ctx context.Context) error {
	return p.order(ctx, func(ctx context.Context) error {
		b, err := p.stage()
		if err != nil {
			return err
		}
		if err := p.cfg.Store.Change(p.cfg.Name, func(n *plugindir.Note) { n.Pinned, n.Replaced = "", "" }); err != nil {
			return err
		}
		p.set(func(s *State) { s.Pinned = false })
		return p.replace(ctx, b)
	})
}

// Rollback puts the build that ran before in the place of what runs, until the
// directory's content changes.
func (p *Plugin) Rollback(ctx context.Context) error {
	return p.order(ctx, func(ctx context.Context) error {
		note, err := p.cfg.Store.Note(p.cfg.Name)
		if err != nil {
			return err
		}
		if note.Previous == "" {
			return fmt.Errorf("plugin %s: no earlier build of it is known", p.cfg.Name)
		}
		b, err := p.cfg.Store.Get(p.cfg.Name, note.Previous)
		if err != nil {
			return err
		}
		if err := p.mayRun(b); err != nil {
			return err
		}
		if err := p.replace(ctx, b); err != nil {
			return err
		}
		p.set(func(s *State) { s.Pinned = true })
		return p.cfg.Store.Change(p.cfg.Name, func(n *plugindir.Note) {
			n.Pinned = b.Digest
			if n.Replaced = note.Replaced; n.Replaced == "" {
				n.Replaced = note.Runs
			}
		})
	})
}

// Run keeps the plugin running until ctx is done: let what runs finish before. It
// owns the processes and every goroutine: after Run none is left. That a plugin
// does not run is a state, not the end of its supervision.
func (p *Plugin) Run(ctx context.Context) {
	defer p.transition(0, func(s *State) { s.State, s.PID = StateStopped, 0 })
	defer func() {
		for _, g := range p.generations() {
			g.stop()
		}
	}()
	p.first(ctx)
	tick := time.NewTimer(p.time.look)
	defer tick.Stop()
	look := tick.C
	if p.cfg.Manual {
		look = nil
	}
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-p.orders:
			o.reply <- o.do(ctx)
		case <-look:
			took := p.look(ctx)
			// A plugin of many files costs a fiftieth of a processor at most.
			tick.Reset(max(p.time.look, 50*took))
		}
		p.set(func(*State) { p.retiring = slices.DeleteFunc(p.retiring, (*generation).over) })
	}
}

// first starts what is there when the host starts, without waiting for it to
// settle unless somebody writes it.
func (p *Plugin) first(ctx context.Context) {
	found := plugindir.Look(p.cfg.Dir, p.cfg.Name)
	p.seen = found.Fingerprint()
	b, err := p.stage()
	if err != nil {
		if errors.Is(err, plugindir.ErrBusy) {
			p.seen = ""
		}
		p.reject(err)
		return
	}
	p.take(ctx, b)
}

// look starts what has changed in the directory, once it has stopped changing. It
// returns how long it took to see whether something has.
func (p *Plugin) look(ctx context.Context) (took time.Duration) {
	begun := time.Now()
	found := plugindir.Look(p.cfg.Dir, p.cfg.Name)
	now := found.Fingerprint()
	took = time.Since(begun)
	if now == p.seen {
		p.changing = ""
		return took
	}
	if now != p.changing || p.since.IsZero() {
		p.changing, p.since = now, time.Now()
		return took
	}
	if time.Since(p.since) < p.time.settle {
		return took
	}
	b, err := p.stage()
	switch {
	case errors.Is(err, plugindir.ErrBusy):
		return took
	case errors.Is(err, plugindir.ErrAbsent):
		p.remove(err)
	case err != nil:
		p.refuse(err)
	default:
		p.take(ctx, b)
	}
	p.seen, p.changing, p.since = now, "", time.Time{}
	return took
}

// take runs b, which is what the directory has, unless a rollback has pinned
// another build against it.
func (p *Plugin) take(ctx context.Context, b plugindir.Build) {
	note, err := p.cfg.Store.Note(p.cfg.Name)
	if err != nil {
		p.refuse(err)
		return
	}
	pinned := false
	if note.Pinned != "" && note.Replaced == b.Digest {
		if before, err := p.cfg.Store.Get(p.cfg.Name, note.Pinned); err == nil && p.mayRun(before) == nil {
			b, pinned = before, true
		}
	} else if note.Pinned != "" {
		if err := p.cfg.Store.Change(p.cfg.Name, func(n *plugindir.Note) { n.Pinned, n.Replaced = "", "" }); err != nil {
			p.cfg.Logger.Error("plugin store", "plugin", p.cfg.Name, "error", err)
		}
	}
	p.set(func(s *State) { s.Pinned = pinned })
	if p.live != nil && p.live.build.Digest == b.Digest {
		p.set(func(s *State) { s.Refused = nil })
		return // touched, or put back
	}
	if err := p.replace(ctx, b); err != nil {
		p.refuse(err)
	}
}

// stage brings what is in the directory into the store, if it may run.
func (p *Plugin) stage() (plugindir.Build, error) {
	found := plugindir.Look(p.cfg.Dir, p.cfg.Name)
	if found.Err != nil {
		return plugindir.Build{}, found.Err
	}
	if err := plugindir.CheckTrust(found.Root); err != nil {
		if p.cfg.Strict {
			return plugindir.Build{}, fmt.Errorf("others could have written it, and trust is strict: %w", err)
		}
		p.warned.Do(func() {
			p.cfg.Logger.Warn(`others could have written this plugin, and it is run all the same since trust = "dev"`,
				"plugin", p.cfg.Name, "strict_wants", err)
		})
	}
	b, err := p.cfg.Store.Stage(found)
	if err != nil {
		return b, err
	}
	return b, p.mayRun(b)
}

// mayRun holds a build against what is trusted.
func (p *Plugin) mayRun(b plugindir.Build) error {
	if !p.cfg.Locked {
		return nil
	}
	note, err := p.cfg.Store.Note(p.cfg.Name)
	switch {
	case err != nil:
		return err
	case note.Trusted == "":
		return fmt.Errorf("verify is lock, and plugin %s has not been trusted: rrhost plugin trust %s", b.Name, b.Name)
	case note.Trusted != b.Digest:
		return fmt.Errorf("verify is lock, and plugin %s has the digest %.12s, not the trusted %.12s: rrhost plugin trust %s, if the change is yours", b.Name, b.Digest, note.Trusted, b.Name)
	}
	return nil
}

// replace puts b in the place of what runs. While that serves, b's processes
// must be ready first, and an error leaves all as it was.
func (p *Plugin) replace(ctx context.Context, b plugindir.Build) error {
	g := newGeneration(p, b)
	old := p.live
	if old == nil || !old.serves() {
		if old != nil {
			old.stop()
		}
		p.install(g)
		g.start(ctx, nil)
		return nil
	}
	processes, err := g.try(ctx)
	if err != nil {
		return err
	}
	instances := make([]*Instance, len(processes))
	for n, proc := range processes {
		instances[n] = proc.Instance()
	}
	p.install(g)
	g.start(ctx, processes)
	p.cfg.Traffic.Switch(instances, b)
	p.cfg.Logger.Info("plugin replaced", "plugin", b.Name, "version", b.Version, "digest", b.Digest[:12], "old_version", old.build.Version)
	p.retire(old)
	return nil
}

// retire lets what runs at g finish.
func (p *Plugin) retire(g *generation) {
	p.set(func(*State) { p.retiring = append(p.retiring, g) })
	g.retire()
}

// install makes g what the plugin is.
func (p *Plugin) install(g *generation) {
	p.transition(0, func(s *State) {
		p.live, p.failures = g, nil
		s.Version, s.Digest, s.Outside = g.build.Version, g.build.Digest, g.build.Outside
		s.Refused, s.Held = nil, false
		if s.State != StateReady {
			s.State = StateVerified
		}
	})
}

// ran notes that a build was ready.
func (p *Plugin) ran(b plugindir.Build) {
	err := p.cfg.Store.Change(p.cfg.Name, func(n *plugindir.Note) {
		if n.Runs != b.Digest {
			n.Previous, n.Runs = n.Runs, b.Digest
		}
	})
	if err != nil {
		p.cfg.Logger.Error("plugin store", "plugin", p.cfg.Name, "error", err)
	}
}

// refuse keeps what runs, and says why the directory's content does not; where
// nothing runs, it is a rejection.
func (p *Plugin) refuse(err error) {
	if p.live == nil {
		p.reject(err)
		return
	}
	p.cfg.Logger.Error("new content of a plugin is refused; the old one stays", "plugin", p.cfg.Name, "error", err)
	p.set(func(s *State) { s.Refused = err })
}

func (p *Plugin) reject(err error) {
	p.transition(0, func(s *State) { s.State, s.PID, s.LastError = StateRejected, 0, err })
	p.cfg.Traffic.Reject(err)
}

// remove lets what runs finish, and runs nothing any more.
func (p *Plugin) remove(err error) {
	if old := p.live; old != nil {
		p.cfg.Logger.Warn("plugin was removed", "plugin", p.cfg.Name)
		p.set(func(*State) { p.live = nil })
		p.retire(old)
	}
	p.reject(err)
}

// set changes what is known, without a change of state.
func (p *Plugin) set(do func(*State)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do(&p.state)
}

// transition changes the plugin's state, and tells about it if it is another one.
func (p *Plugin) transition(wait time.Duration, do func(*State)) {
	p.mu.Lock()
	was := p.state.State
	do(&p.state)
	changed := p.state.State != was
	if changed {
		p.state.Since = time.Now()
	}
	now := p.now()
	p.mu.Unlock()
	if !changed {
		return
	}
	p.log(now, wait)
	if p.cfg.Events != nil {
		p.cfg.Events(Event{State: now, Was: was, Wait: wait})
	}
}

// aggregate makes the plugin's state that of its best instance.
func (p *Plugin) aggregate(wait time.Duration) {
	p.transition(wait, func(s *State) {
		if p.live == nil {
			return
		}
		s.PID = 0
		best := len(order) - 1
		for _, seat := range p.live.seats {
			if s.PID == 0 {
				s.PID = seat.state.PID
			}
			best = min(best, slices.Index(order, seat.state.State))
		}
		s.State = order[best]
	})
}

func (p *Plugin) log(s State, wait time.Duration) {
	l := p.cfg.Logger.With("plugin", s.Name, "version", s.Version)
	switch s.State {
	case StateBackingOff:
		level := hclog.Warn
		if s.Held {
			l, level = l.With("held", true), hclog.Error
		}
		l.Log(level, "plugin ended", "error", s.LastError, "starts_again_in", wait.Round(time.Millisecond), "restarts", s.Restarts)
	case StateRejected:
		l.Error("plugin rejected", "error", s.LastError)
	case StateReady:
		l.Info("plugin ready", "pid", s.PID, "instances", len(s.Instances))
	default:
		l.Debug("plugin " + string(s.State))
	}
}
