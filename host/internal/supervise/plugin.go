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
