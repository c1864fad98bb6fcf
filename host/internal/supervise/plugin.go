// Package supervise keeps plugins running: it starts their processes, watches
// them, starts them again, and puts a new build in the place of an old one
// without a request lost. One life of a process is package process's; which
// process a request goes to is package dispatch's.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"rrhost/internal/plugindir"
	"rrhost/internal/stream"
)

// Instance is the stream to one process.
type Instance = stream.Instance

// A Plugin is one plugin under supervision.
type Plugin struct {
	cfg    Config
	time   timing
	orders chan instruction
	over   chan struct{} // closed when Run has ended

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

// New makes a plugin that [Plugin.Run] starts.
func New(cfg Config) *Plugin {
	return &Plugin{cfg: cfg.withDefaults(), time: defaultTiming, orders: make(chan instruction), over: make(chan struct{}), state: State{
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
	case <-p.over:
		return ErrStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-o.reply:
		return err
	case <-p.over:
		return ErrStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Reload starts what is in the directory now, also if it is what runs, and puts
// it in its place; where nothing runs, it shortens the wait. It returns once the
// new one is ready or refused, which leaves a rollback as it was.
func (p *Plugin) Reload(ctx context.Context) error {
	return p.order(ctx, func(ctx context.Context) error {
		b, err := p.stage()
		if err != nil {
			return err
		}
		if err := p.replace(ctx, b); err != nil {
			return err
		}
		return p.unpin()
	})
}

// Restart puts new processes of the build that runs in the place of the old ones;
// where none runs, it shortens the wait.
func (p *Plugin) Restart(ctx context.Context) error {
	return p.order(ctx, func(ctx context.Context) error {
		if p.live == nil {
			b, err := p.stage()
			if err != nil {
				return err
			}
			return p.replace(ctx, b)
		}
		b, err := p.cfg.Store.Get(p.cfg.Name, p.live.build.Digest)
		if err != nil {
			return err
		}
		return p.replace(ctx, b)
	})
}

// Rollback puts the build that ran before in the place of what runs, until the
// directory's content changes. Where another host that shares the store has done
// so already, it follows.
func (p *Plugin) Rollback(ctx context.Context) error {
	return p.order(ctx, func(ctx context.Context) error {
		note, err := p.cfg.Store.Note(p.cfg.Name)
		if err != nil {
			return err
		}
		to, running := note.Previous, ""
		if p.live != nil {
			running = p.live.build.Digest
		}
		switch {
		case note.Pinned != "" && note.Pinned == running:
			return fmt.Errorf("plugin %s is rolled back already; rrhost plugin reload %s goes back to what is in the directory", p.cfg.Name, p.cfg.Name)
		case note.Pinned != "":
			to = note.Pinned
		case to == "":
			return fmt.Errorf("plugin %s: no earlier build of it is known", p.cfg.Name)
		}
		b, err := p.cfg.Store.Get(p.cfg.Name, to)
		if err != nil {
			return err
		}
		if err := p.mayRunAgain(b); err != nil {
			return err
		}
		replaced := note.Replaced
		if note.Pinned == "" {
			// What is in the directory may be another one than what ran.
			if replaced, _, err = plugindir.Identify(plugindir.Look(p.cfg.Dir, p.cfg.Name)); err != nil {
				replaced = note.Runs
			}
		}
		if err := p.replace(ctx, b); err != nil {
			return err
		}
		p.set(func(s *State) { s.Pinned = true })
		return p.cfg.Store.Change(p.cfg.Name, func(n *plugindir.Note) { n.Pinned, n.Replaced = b.Digest, replaced })
	})
}

// unpin ends a rollback.
func (p *Plugin) unpin() error {
	p.set(func(s *State) { s.Pinned = false })
	return p.cfg.Store.Change(p.cfg.Name, func(n *plugindir.Note) { n.Pinned, n.Replaced = "", "" })
}

// Run keeps the plugin running until ctx is done: let what runs finish before. It
// owns the processes and every goroutine: after Run none is left. That a plugin
// does not run is a state, not the end of its supervision.
func (p *Plugin) Run(ctx context.Context) {
	defer close(p.over)
	defer p.transition(func(s *State) { s.State, s.PID = StateStopped, 0 })
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
		p.forget()
	}
}

// set changes what is known, without a change of state.
func (p *Plugin) set(do func(*State)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do(&p.state)
}

// transition changes the plugin's state, and tells about it if it is another one.
func (p *Plugin) transition(do func(*State)) {
	p.mu.Lock()
	was := p.state.State
	do(&p.state)
	changed := p.state.State != was
	if changed {
		p.state.Since = time.Now()
	}
	e := Event{State: p.now(), Was: was}
	p.mu.Unlock()
	if changed {
		p.tell(e)
	}
}

// summarize makes the plugin's state that of its best instance. p.mu is held.
func (p *Plugin) summarize() {
	if p.live == nil {
		return
	}
	was := p.state.State
	p.state.PID = 0
	best := len(order) - 1
	for _, seat := range p.live.seats {
		if p.state.PID == 0 {
			p.state.PID = seat.state.PID
		}
		best = min(best, slices.Index(order, seat.state.State))
	}
	if p.state.State = order[best]; p.state.State != was {
		p.state.Since = time.Now()
	}
}

// tell tells about a change of state.
func (p *Plugin) tell(e Event) {
	p.log(e)
	if p.cfg.Events != nil {
		p.cfg.Events(e)
	}
}

func (p *Plugin) log(e Event) {
	version, state, l := e.Version, e.State.State, p.cfg.Logger
	if e.Instance.Number > 0 {
		version, state = e.Instance.Version, e.Instance.State
		if e.Instance.Of > 1 {
			l = l.With("instance", e.Instance.Number)
		}
	}
	l = l.With("plugin", e.Name, "version", version)
	switch state {
	case StateBackingOff:
		level := hclog.Warn
		if e.Held {
			l, level = l.With("held", true), hclog.Error
		}
		l.Log(level, "plugin ended", "error", e.LastError, "starts_again_in", e.Wait.Round(time.Millisecond), "restarts", e.Restarts)
	case StateRejected:
		l.Error("plugin rejected", "error", e.LastError)
	case StateReady:
		l.Info("plugin ready", "pid", e.Instance.PID)
	default:
		l.Info("plugin " + string(state))
	}
}
