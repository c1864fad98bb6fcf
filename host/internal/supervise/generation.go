package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"rrhost/internal/plugindir"
	"rrhost/internal/process"
	"rrhost/internal/stream"
)

// A generation is the processes of one build.
type generation struct {
	plugin *Plugin
	build  plugindir.Build
	seats  []*seat
	leave  context.CancelFunc // ends the seats, once they are drained
	wg     sync.WaitGroup     // of the seats
	gone   chan struct{}      // closed when they have ended
	proved bool               // guarded by plugin.mu: a process of it was ready
}

// A seat is the place of one instance: a process, and after its end the next.
type seat struct {
	*generation
	number int
	tail   process.Tail

	// Guarded by plugin.mu.
	state InstanceState
	on    *Instance // nil if it takes no requests
}

func newGeneration(p *Plugin, b plugindir.Build) *generation {
	n := p.cfg.Instances
	if n == 0 {
		n = max(1, b.Manifest.Instances)
	}
	g := &generation{plugin: p, build: b, gone: make(chan struct{})}
	for i := range n {
		g.seats = append(g.seats, &seat{generation: g, number: i + 1, state: InstanceState{
			Number: i + 1, Of: n, Version: b.Version, State: StateVerified, Since: time.Now(),
		}})
	}
	return g
}

// process starts one, up to ready.
func (g *generation) process(ctx context.Context, tail *process.Tail) (*process.Process, error) {
	// What was verified is what runs, each time.
	if _, err := g.plugin.cfg.Store.Get(g.build.Name, g.build.Digest); err != nil {
		return nil, &process.RefusedError{Reason: err.Error()}
	}
	return g.plugin.cfg.launch(ctx, g.build, tail)
}

// launch starts a process of b, up to ready.
func (c Config) launch(ctx context.Context, b plugindir.Build, tail *process.Tail) (*process.Process, error) {
	ctx, cancel := context.WithTimeout(ctx, c.StartTimeout)
	defer cancel()
	p := c.processOf(b)
	p.Tail = tail
	p.Accept = func(about stream.About) error { return CheckSettings(about, p.Settings, c.Place) }
	return process.Start(ctx, p)
}

// processOf is how a process of b is started.
func (c Config) processOf(b plugindir.Build) process.Config {
	p := c.Process
	p.Name, p.Version, p.Logger = b.Name, b.Version, c.Logger
	p.Path, p.Args, p.Dir, p.Folder = b.Program, b.Args, b.Dir, b.Folder
	p.Origin = b.Origin(c.Dir)
	if tls := b.Manifest.TLS; tls != nil {
		p.NoTLS = !*tls
	}
	p.Env = slices.Clone(p.Env)
	for _, name := range b.Manifest.Env {
		if slices.Contains(c.Allowed, name) {
			p.Env = append(p.Env, name)
		}
	}
	return p
}

// Try starts a process of b, as far as a host does before it sends requests, and
// ends it. It returns what the plugin said of itself.
func Try(ctx context.Context, cfg Config, b plugindir.Build) (stream.About, error) {
	cfg = cfg.withDefaults()
	p, err := cfg.launch(ctx, b, nil)
	if err != nil {
		return stream.About{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.StopTimeout)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		return stream.About{}, fmt.Errorf("it started, and did not end in order: %w", err)
	}
	return p.Instance().About(), nil
}

// try starts all processes of the generation, or none.
func (g *generation) try(ctx context.Context) ([]*process.Process, error) {
	started := make([]*process.Process, len(g.seats))
	errs := make([]error, len(g.seats))
	var wg sync.WaitGroup
	for n := range g.seats {
		wg.Go(func() {
			s := g.seats[n]
			s.set(0, func(i *InstanceState) { i.State = StateStarting })
			started[n], errs[n] = g.process(ctx, &s.tail)
		})
	}
	wg.Wait()
	err := errors.Join(errs...)
	if err == nil {
		return started, nil
	}
	for _, proc := range started {
		if proc != nil {
			wg.Go(func() { _ = g.end(proc) }) // its end is ours
		}
	}
	wg.Wait()
	for _, s := range g.seats {
		s.set(0, func(i *InstanceState) { i.State = StateStopped })
	}
	return nil, fmt.Errorf("start the new build: %w", err)
}

// start gives each seat its goroutine, and the process it begins with, if there
// are some.
func (g *generation) start(ctx context.Context, with []*process.Process) {
	// A generation ends by itself; its processes are stopped when ctx is done too.
	ctx, g.leave = context.WithCancel(ctx)
	for n, s := range g.seats {
		var proc *process.Process
		if with != nil {
			proc = with[n]
			s.ready(proc)
		}
		g.wg.Go(func() { s.run(ctx, proc) })
	}
	go func() {
		g.wg.Wait()
		close(g.gone)
	}()
}

// retire lets what runs finish, and then ends the processes.
func (g *generation) retire() { g.leave() }

// stop is retire, and waits.
func (g *generation) stop() {
	g.leave()
	<-g.gone
	g.plugin.set(func(*State) { g.plugin.summarize() })
}

func (g *generation) over() bool {
	select {
	case <-g.gone:
		return true
	default:
		return false
	}
}

// serves tells whether a process of it takes requests, or one will again as far
// as can be known: then a new build has to prove itself first.
func (g *generation) serves() bool {
	p := g.plugin
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.ContainsFunc(g.seats, func(s *seat) bool { return s.on != nil }) {
		return true
	}
	rejected := slices.ContainsFunc(g.seats, func(s *seat) bool { return s.state.State == StateRejected })
	return g.proved && !p.state.Held && !rejected
}

// run keeps a process in the seat until ctx is done.
func (s *seat) run(ctx context.Context, proc *process.Process) {
	defer s.set(0, func(i *InstanceState) { i.State, i.PID = StateStopped, 0 })
	p := s.plugin
	for wait := p.time.first; ; {
		var err error
		begun := time.Now()
		blamed, stable := false, false
		if proc == nil {
			s.set(0, func(i *InstanceState) { i.State = StateStarting })
			if proc, err = s.process(ctx, &s.tail); err == nil {
				s.ready(proc)
				p.cfg.Traffic.Join(proc.Instance(), s.build)
				begun = time.Now()
			} else {
				err = fmt.Errorf("start: %w", err)
			}
		}
		if proc != nil {
			err = s.live(ctx, proc)
			blamed = proc.Instance().Lost() > 0
			stable = time.Since(begun) >= p.time.stable
			proc = nil
		}
		if ctx.Err() != nil {
			return
		}
		if stable || blamed {
			wait = p.time.first
		}
		pause := p.time.jitter(wait)
		wait = min(2*wait, p.time.longest)
		state := StateBackingOff
		held := p.failed(stable || blamed)
		switch {
		case process.Hopeless(err):
			pause, state = p.time.held, StateRejected
		case held:
			pause = p.time.held
		}
		p.set(func(st *State) { st.LastError, st.LastLines = err, s.tail.Lines() })
		s.set(pause, func(i *InstanceState) { i.State, i.PID = state, 0 })
		if state == StateRejected {
			if !s.serves() {
				p.cfg.Traffic.Reject(err)
			}
		} else {
			p.cfg.Traffic.Leave(nil, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		p.set(func(st *State) { st.Restarts++ })
	}
}

// failed takes note of an end. It tells whether the plugin is held: it has failed
// too often by itself. A life that stood, or that a request ended, is excused, and
// what was before it is forgiven.
func (p *Plugin) failed(excused bool) (held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if excused {
		p.failures, p.state.Held = nil, false
		return false
	}
	instances := 1
	if p.live != nil {
		instances = len(p.live.seats)
	}
	now := time.Now()
	p.failures = slices.DeleteFunc(append(p.failures, now), func(t time.Time) bool { return now.Sub(t) > p.time.holdWithin })
	if len(p.failures) >= p.time.holdAfter*instances {
		p.state.Held = true
	}
	return p.state.Held
}

// ready notes that proc takes requests.
func (s *seat) ready(proc *process.Process) {
	about := proc.Instance().About()
	s.plugin.ran(s.build)
	s.plugin.set(func(st *State) {
		st.Handlers, st.SDK = about.Handlers, about.SDK
		s.on, s.proved = proc.Instance(), true
	})
	s.set(0, func(i *InstanceState) { i.State, i.PID = StateReady, proc.PID() })
}

// live watches a process that is ready until it has ended, or, once ctx is done
// and nothing runs there any more, ends it. It returns why it ended.
func (s *seat) live(ctx context.Context, proc *process.Process) error {
	p, i := s.plugin, proc.Instance()
	sick := s.watch(ctx, proc)
	p.set(func(*State) { s.on = nil })
	wanted := ctx.Err() != nil
	if wanted {
		s.set(0, func(i *InstanceState) { i.State = StateDraining })
		p.cfg.Traffic.Retire(i)
		select {
		case <-p.cfg.Traffic.Drained(i):
		case <-proc.Done():
		case <-proc.Exited():
		}
	}
	cause := s.end(proc)
	if sick != nil {
		cause = sick
	}
	if cause == nil && !wanted {
		cause = stream.ErrEnded
	}
	if wanted {
		cause = nil
	}
	p.cfg.Traffic.Leave(i, cause)
	return cause
}

// end asks a process to end, and sees to it.
func (g *generation) end(proc *process.Process) error {
	ctx, cancel := context.WithTimeout(context.Background(), g.plugin.cfg.StopTimeout)
	defer cancel()
	return proc.Stop(ctx)
}

// watch returns when the process has ended or must, or ctx is done. A process
// that hangs is killed, and that is its error.
func (s *seat) watch(ctx context.Context, proc *process.Process) error {
	t := s.plugin.time
	tick := time.NewTicker(t.health)
	defer tick.Stop()
	settled := time.NewTimer(t.stable)
	defer settled.Stop()
	for strikes := 0; ; {
		select {
		case <-proc.Done():
			return nil
		case <-proc.Exited():
			return nil
		case <-ctx.Done():
			return nil
		case <-settled.C:
			s.plugin.failed(true) // it stands
			continue
		case <-tick.C:
		}
		checkCtx, cancel := context.WithTimeout(ctx, t.healthTimeout)
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
		if strikes++; strikes >= t.strikes {
			proc.Kill()
			return fmt.Errorf("it hangs and was killed: %w", err)
		}
	}
}

// set changes the seat's state, and with it the plugin's, and tells about it.
func (s *seat) set(wait time.Duration, do func(*InstanceState)) {
	p := s.plugin
	p.mu.Lock()
	was := s.state.State
	do(&s.state)
	changed := s.state.State != was
	if changed {
		s.state.Since = time.Now()
	}
	p.summarize()
	e := Event{State: p.now(), Instance: s.state, Was: was, Wait: wait}
	p.mu.Unlock()
	if changed {
		p.tell(e)
	}
}

// lastLines are what a process that did not get ready printed last.
func (g *generation) lastLines() []string {
	for _, s := range g.seats {
		if lines := s.tail.Lines(); len(lines) > 0 {
			return lines
		}
	}
	return nil
}
