package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"rrhost/internal/plugindir"
)

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
	settle := p.time.settle
	if found.Foreign() {
		settle = p.time.settleForeign
	}
	if time.Since(p.since) < settle {
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
		if before, err := p.cfg.Store.Get(p.cfg.Name, note.Pinned); err == nil && p.mayRunAgain(before) == nil {
			b, pinned = before, true
		}
	} else if note.Pinned != "" {
		if err := p.unpin(); err != nil {
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
	if err := plugindir.CheckTrust(found); err != nil {
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

// mayRun holds a build from the directory against what is trusted.
func (p *Plugin) mayRun(b plugindir.Build) error { return p.trusted(b, plugindir.Note.Trusts) }

// mayRunAgain does so with a build that ran before: what was trusted then is
// enough.
func (p *Plugin) mayRunAgain(b plugindir.Build) error {
	return p.trusted(b, plugindir.Note.TrustsEarlier)
}

func (p *Plugin) trusted(b plugindir.Build, trusts func(plugindir.Note, string) bool) error {
	if !p.cfg.Locked {
		return nil
	}
	note, err := p.cfg.Store.Note(p.cfg.Name)
	if err != nil || trusts(note, b.Digest) {
		return err
	}
	return Untrusted(b.Name, b.Digest, note)
}

// Untrusted is the error of a plugin that may not run where verify is "lock".
func Untrusted(name, digest string, note plugindir.Note) error {
	if len(note.Trusted) == 0 {
		return fmt.Errorf("verify is lock, and plugin %s has not been trusted: rrhost plugin trust %s", name, name)
	}
	return fmt.Errorf("verify is lock, and plugin %s has the digest %.12s, not the trusted %.12s: rrhost plugin trust %s, if the change is yours", name, digest, note.Trusted[0], name)
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
		p.set(func(s *State) { s.LastLines = g.lastLines() })
		return err
	}
	instances := make([]*Instance, len(processes))
	for n, proc := range processes {
		instances[n] = proc.Instance()
	}
	p.install(g)
	p.cfg.Traffic.Switch(instances, b)
	g.start(ctx, processes)
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
	p.transition(func(s *State) {
		p.live, p.failures = g, nil
		s.Version, s.Digest, s.Outside = g.build.Version, g.build.Digest, g.build.Outside
		s.Refused, s.Held, s.LastLines = nil, false, nil
		if s.State != StateReady { // nothing is known of it yet
			s.State, s.Handlers, s.SDK, s.LastError = StateVerified, nil, "", nil
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
	if err == nil {
		err = p.cfg.Store.Sweep()
	}
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

// reject says that nothing runs here, or will before something changes. What
// drains is finished first, and the state says so until it is.
func (p *Plugin) reject(err error) {
	p.transition(func(s *State) {
		s.State, s.PID, s.LastError = StateRejected, 0, err
		if len(p.retiring) > 0 {
			s.State = StateDraining
		}
	})
	p.cfg.Traffic.Reject(err)
}

// forget drops the generations that have ended.
func (p *Plugin) forget() {
	p.transition(func(s *State) {
		p.retiring = slices.DeleteFunc(p.retiring, (*generation).over)
		if p.live == nil && len(p.retiring) == 0 && s.State == StateDraining {
			s.State = StateRejected
		}
	})
}

// remove lets what runs finish, and runs nothing any more.
func (p *Plugin) remove(err error) {
	if old := p.live; old != nil {
		p.cfg.Logger.Warn("plugin was removed", "plugin", p.cfg.Name)
		p.set(func(s *State) {
			p.live = nil
			*s = State{Name: s.Name, State: StateDraining, Since: time.Now(), Restarts: s.Restarts}
		})
		p.retire(old)
	}
	p.reject(err)
}
