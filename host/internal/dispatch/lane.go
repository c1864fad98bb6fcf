// Package dispatch brings a request to the handler it is for, and says how it
// ended: it waits for a plugin that is being started, ends what is too late, and
// tries again what a crash interrupted.
package dispatch

import (
	"container/list"
	"sync"
	"time"

	"rrhost/internal/schema"
	"rrhost/internal/stream"
	"rrhost/internal/wire"
)

// An Instance runs handlers: a live plugin process, or this process.
type Instance interface {
	// Start begins a request and returns at once, with a number that is not 0.
	// done is called exactly once, possibly before Start returns, and must not
	// block.
	Start(r stream.Request, done func(stream.Result)) (number uint64)
	// Cancel ends the context of a request. Its done is still called.
	Cancel(number uint64)
}

// A Route is the handler of one topic.
type Route struct {
	Handler string
	Problem string         // why there is none
	Schema  *schema.Schema // that requests must fit; nil: the handler's side sees to it
}

// A Lane is the way to one plugin; all its topics share it, and its instances
// share the requests: each goes to the one with the least to do.
//
// After a crash, the requests that were in flight are suspects: each is begun
// again alone, so that one that kills the plugin takes no other with it. Alone it
// is until it ends, or for its part of [soloPhase]: slow handlers must not keep
// everybody else waiting, and a request that kills does so early, as a rule. If
// the plugin crashes while several suspects run, nobody knows which of them it
// was: it counts against none, and next time each is alone for twice as long, the
// one that was begun last first. New
// requests go to the other instances; where there is none, they wait until all
// suspects are begun.
type Lane struct {
	name string
	most int // of stuck handlers at an instance; beyond, nothing is begun there

	checks sync.WaitGroup // of payloads against schemas

	mu       sync.Mutex    // guards all below, and the state of each job
	members  []*member     // the instances that are up
	cause    string        // why there is none
	final    bool          // and waiting would not help
	alone    *Job          // the suspect that runs alone now
	phase    *time.Timer   // ends that
	solo     time.Duration // how long each of the suspects may
	tried    int           // suspects that run, alone or not any more
	doubts   int           // crashes, since there were none, that could be any of several suspects
	suspects list.List     // of *Job
	waiting  list.List     // of *Job
}

// A member is an instance in a lane, whose lock guards it.
type member struct {
	on      Instance
	answers string           // the plugin header of what it answers
	routes  map[string]Route // by topic
	open    bool             // it takes requests
	solo    bool             // but suspects alone
	running int              // jobs
	others  int              // of them, not begun as suspects
	stuck   int              // handlers that run on although their request has ended
	crashed bool             // it is gone
	guilty  bool             // and one request alone ran there
	likely  *Job             // what was alone last is tried first, to know soon
	drained chan struct{}    // closed when it is not open and no job runs; nil if nobody asked
}

const (
	// soloPhase bounds how long new requests wait for suspects.
	soloPhase = 5 * time.Second
	// soloMost is how long one suspect is alone at the most, at first.
	soloMost = time.Second
	// soloDoublings is beyond the deadline of any request.
	soloDoublings = 20
)

// NewLane makes the lane of a plugin that is not up yet. While most handlers run
// on at an instance although their requests have ended, since they do not heed
// their context, nothing more is begun there.
func NewLane(plugin string, most int) *Lane {
	return &Lane{name: plugin, most: most, cause: "it has not been started yet"}
}

// Start takes a request. done is called exactly once, possibly before Start
// returns, from any goroutine, and must not block.
func (l *Lane) Start(req Request, done func(Outcome)) *Job {
	j := &Job{lane: l, req: req, given: time.Until(req.Deadline), done: done, plugin: l.name}
	if j.given <= 0 {
		j.state = ended
		o := j.outcome()
		o.fail(wire.StatusExpired, "the request came too late to be started")
		done(o)
		return j
	}
	l.mu.Lock()
	if l.final {
		o := j.outcome()
		o.fail(wire.StatusPluginUnavailable, l.why())
		l.end(j)
		l.mu.Unlock()
		done(o)
		return j
	}
	m := l.pick()
	if m == nil {
		l.queue(j, &l.waiting)
		l.mu.Unlock()
		return j
	}
	s, ok := l.begin(j, m)
	l.mu.Unlock()
	if ok {
		s.try.send(s.req)
	} else {
		done(s.outcome)
	}
	return j
}

// Up adds an instance that can take requests. What waits is started.
func (l *Lane) Up(i Instance, version string, routes map[string]Route) {
	l.mu.Lock()
	l.add(i, version, routes)
	next := l.next()
	l.mu.Unlock()
	next.run()
}

// Switch makes these the instances that take requests, from now on and they
// alone. What runs at the others may finish; [Lane.Drained] tells when.
func (l *Lane) Switch(to []Instance, version string, routes map[string]Route) {
	l.mu.Lock()
	for _, m := range l.members {
		l.retire(m)
	}
	for _, i := range to {
		l.add(i, version, routes)
	}
	next := l.next()
	l.mu.Unlock()
	next.run()
}

// Retire makes i take no more requests.
func (l *Lane) Retire(i Instance) {
	l.mu.Lock()
	if m := l.find(i); m != nil {
		l.retire(m)
	}
	next := l.next()
	l.mu.Unlock()
	next.run()
}

// Drained is closed once i takes no more requests and none runs there; for one
// that is not in the lane, it is closed.
func (l *Lane) Drained(i Instance) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.find(i)
	if m == nil {
		m = new(member)
	}
	if m.drained == nil {
		m.drained = make(chan struct{})
		m.drainedNow()
	}
	return m.drained
}

// Down says that i has ended, after the last of its results, and why. A nil i is
// one that did not come up.
func (l *Lane) Down(i Instance, cause string) {
	l.mu.Lock()
	if m := l.find(i); m != nil {
		l.remove(m)
	}
	if len(l.members) == 0 && !l.final {
		l.cause = cause
	}
	next := l.next()
	l.mu.Unlock()
	next.run()
}

// Reject says that the plugin will not come up by waiting. What waits is
// answered at once, and so is all that comes until Up. What runs may finish, as
// after [Lane.Retire].
func (l *Lane) Reject(cause string) {
	l.mu.Lock()
	for _, m := range l.members {
		l.retire(m)
	}
	l.cause, l.final = cause, true
	var next steps
	for _, from := range []*list.List{&l.suspects, &l.waiting} {
		for from.Len() > 0 {
			j := from.Front().Value.(*Job)
			o := j.outcome()
			o.fail(wire.StatusPluginUnavailable, l.why())
			l.end(j)
			next = append(next, step{job: j, outcome: o})
		}
	}
	l.mu.Unlock()
	next.run()
}

// State is how a lane stands.
type State struct {
	Up       bool
	Cause    string // why it is not up
	Running  int
	Waiting  int
	Suspects int // of Waiting: to be run alone
	// Stuck counts the handlers that run on although their request has ended:
	// they do not heed their context.
	Stuck int
}

// State reports how l stands now.
func (l *Lane) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := State{Cause: l.cause, Waiting: l.waiting.Len() + l.suspects.Len(), Suspects: l.suspects.Len()}
	for _, m := range l.members {
		s.Up = s.Up || m.open
		s.Running += m.running
		s.Stuck += m.stuck
	}
	return s
}

// Wait waits for the payloads that are being checked. It is for when all jobs
// have ended: then none is begun after it.
func (l *Lane) Wait() { l.checks.Wait() }

// Running is how many requests run at i.
func (l *Lane) Running(i Instance) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.find(i); m != nil {
		return m.running
	}
	return 0
}
