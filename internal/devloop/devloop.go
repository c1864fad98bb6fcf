// Package devloop is what happens between an author's edit and the new plugin's
// first answer: it watches the sources of plugins, builds what has changed, and
// has the host run it.
package devloop

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"rrhost/internal/plugindir"
)

// DefaultInterval is the time between two looks at the sources. What has changed
// is built when it has not changed any more at the next look.
const DefaultInterval = 50 * time.Millisecond

// Config is what to watch, and whom to tell.
type Config struct {
	// Dir is the plugin directory, and Plugins the names of those in it.
	Dir     string
	Plugins []string
	// Reload makes the host run what is in the directory now.
	Reload func(ctx context.Context, plugin string) error
	// Report is told what happens, from several goroutines.
	Report func(Event)
	// Interval is [DefaultInterval] unless set.
	Interval time.Duration
}

// A Step is what an [Event] is about.
type Step string

// The steps from an edit to an answer. Each that fails is the last.
const (
	Building    Step = "building"     // for the first time, which may take long
	Changed     Step = "changed"      // a source has, and it will be built
	Built       Step = "built"        // or there was nothing to build
	BuildFailed Step = "build failed" // what runs goes on
	Reloaded    Step = "reloaded"     // the host runs it
	Refused     Step = "refused"      // the host does not; what ran goes on
)

// An Event is one step of one plugin.
type Event struct {
	Plugin string
	Step   Step
	// Took is the time since the step before.
	Took time.Duration
	// Err is why a build or a reload failed, and Output what the build printed.
	Err    error
	Output string
}

// A Loop watches plugins.
type Loop struct {
	cfg     Config
	plugins []*watched
}

// A watched plugin belongs to one goroutine at a time.
type watched struct {
	*Loop
	name    string
	seen    print           // what was built last
	made    map[string]bool // files that builds have changed: what they make
	outside []string        // folders that it is built from, beside its own
	stale   time.Time       // since when outside may be out of date; zero: it is not
}

// calm is how long nothing is built before the loop looks where else sources lie:
// that takes as long as half a build.
const calm = time.Second

// New makes a loop. It starts nothing.
func New(cfg Config) *Loop {
	if abs, err := filepath.Abs(cfg.Dir); err == nil {
		cfg.Dir = abs // builds run elsewhere
	}
	if cfg.Interval <= 0 {
		cfg.Interval = DefaultInterval
	}
	l := &Loop{cfg: cfg}
	for _, name := range cfg.Plugins {
		l.plugins = append(l.plugins, &watched{Loop: l, name: name, made: make(map[string]bool)})
	}
	return l
}

// Build builds every plugin that has sources, before a host runs them. That one
// does not build is reported.
func (l *Loop) Build(ctx context.Context) {
	l.each(func(w *watched) {
		w.seen = w.print()
		if builderOf(plugindir.Look(w.cfg.Dir, w.name)) != nil {
			w.report(Event{Step: Building})
		}
		built := w.build(ctx)
		for _, path := range w.print().changed(w.seen) {
			w.made[path] = true
		}
		w.seen = w.print()
		if built {
			w.look(ctx)
		}
	})
}

// Run builds and reloads what changes after [Loop.Build], until ctx is done. No
// build is running after it.
func (l *Loop) Run(ctx context.Context) { l.each(func(w *watched) { w.watch(ctx) }) }

func (l *Loop) each(do func(*watched)) {
	var wg sync.WaitGroup
	for _, w := range l.plugins {
		wg.Go(func() { do(w) })
	}
	wg.Wait()
}

func (w *watched) watch(ctx context.Context) {
	last := w.seen
	tick := time.NewTimer(w.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		start := time.Now()
		now := w.print()
		// A plugin of many files costs a tenth of a processor at most.
		tick.Reset(max(w.cfg.Interval, 10*time.Since(start)))
		settled := maps.Equal(now, last)
		if last = now; !settled {
			continue
		}
		if maps.Equal(now, w.seen) {
			if !w.stale.IsZero() && time.Since(w.stale) > calm {
				w.look(ctx)
			}
			continue
		}
		w.report(Event{Step: Changed})
		built := w.build(ctx)
		w.take(now)
		if built && !w.reload(ctx) {
			w.seen = nil // it was being written: once more
		}
	}
}

// take takes note of what has been built, from the sources as they were before.
// What changes while a build runs is what it makes; but where it is new that
// something does, it may as well have been edited, and is built once more.
func (w *watched) take(before print) {
	w.seen = w.print()
	for _, path := range w.seen.changed(before) {
		if !w.made[path] {
			w.seen[path] = "edited, or made"
			w.made[path] = true
		}
	}
}

// build builds the plugin. It reports whether there is something new to run.
func (w *watched) build(ctx context.Context) bool {
	start := time.Now()
	b := builderOf(plugindir.Look(w.cfg.Dir, w.name))
	if b == nil {
		return true
	}
	output, err := b.run(ctx)
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		w.report(Event{Step: BuildFailed, Took: time.Since(start), Err: err, Output: output})
		return false
	}
	w.report(Event{Step: Built, Took: time.Since(start), Output: output})
	return true
}

// reload has the host run what was built. It is false where that is to be tried
// again.
func (w *watched) reload(ctx context.Context) bool {
	start := time.Now()
	err := w.cfg.Reload(ctx, w.name)
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, plugindir.ErrBusy):
		return false
	case err != nil:
		w.report(Event{Step: Refused, Took: time.Since(start), Err: err})
	default:
		w.report(Event{Step: Reloaded, Took: time.Since(start)})
	}
	w.stale = time.Now()
	return true
}

// look finds out what else the plugin is built from.
func (w *watched) look(ctx context.Context) {
	w.stale = time.Time{}
	b := builderOf(plugindir.Look(w.cfg.Dir, w.name))
	if b == nil {
		return
	}
	outside, err := b.outside(ctx)
	if err != nil {
		// It built just now: a source is being written. What is known stays.
		w.stale = time.Now()
		return
	}
	// If something has changed meanwhile, it is built, and this is done again.
	if !slices.Equal(outside, w.outside) && maps.Equal(w.print(), w.seen) {
		w.outside = outside
		w.seen = w.print()
	}
}

func (w *watched) report(e Event) {
	e.Plugin = w.name
	w.cfg.Report(e)
}
