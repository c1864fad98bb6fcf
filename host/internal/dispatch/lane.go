// Package dispatch brings a request to the handler it is for, and says how it
// ended: it waits for a plugin that is being started, ends what is too late, and
// tries again what a crash interrupted.
package dispatch

import (
	"container/list"
	"fmt"
	"sync"
	"time"

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
	Problem string // why there is none
}

// A Lane is the way to one plugin; all its topics share it.
//
// After a crash, the requests that were in flight are suspects: each is begun
// again alone, so that one that kills the plugin takes no other with it. Alone it
// is until it ends, or for its part of [soloPhase]: slow handlers must not keep
// everybody else waiting, and a request that kills does so early, as a rule. New
// requests wait until all suspects are begun.
type Lane struct {
	name string
	most int // of stuck handlers; beyond, nothing is begun

	mu       sync.Mutex       // guards all below, and the state of each job
	instance Instance         // nil while the plugin is down
	answers  string           // the plugin header of what it answers
	routes   map[string]Route // by topic
	cause    string           // why it is down
	final    bool             // and waiting would not help
	running  int              // jobs that run at instance
	stuck    int              // handlers that run on although their request has ended
	alone    *Job             // the suspect that runs alone now
	solo     time.Duration    // how long each of the suspects may
	suspects list.List        // of *Job
	waiting  list.List        // of *Job
}

const (
	// soloPhase bounds how long new requests wait for suspects.
	soloPhase = 5 * time.Second
	// soloMost is how long one suspect is alone at the most.
	soloMost = time.Second
)

// NewLane makes the lane of a plugin that is not up yet. While most handlers run
// on although their requests have ended, since they do not heed their context,
// nothing more is begun.
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
	if !l.open() || l.suspects.Len() > 0 {
		l.queue(j, &l.waiting)
		l.mu.Unlock()
		return j
	}
	s, ok := l.begin(j)
	l.mu.Unlock()
	if ok {
		s.try.send(s.req)
	} else {
		done(s.outcome)
	}
	return j
}

// Up says that the plugin can take requests. What waits is started.
func (l *Lane) Up(i Instance, version string, routes map[string]Route) {
	l.mu.Lock()
	l.instance, l.answers, l.routes = i, wire.PluginText(l.name, version), routes
	l.cause, l.final = "", false
	l.running, l.stuck, l.alone = 0, 0, nil
	l.solo = min(soloPhase/time.Duration(max(1, l.suspects.Len())), soloMost)
	next := l.next()
	l.mu.Unlock()
	next.run()
}

// Down says that i has ended, after the last of its results, and why.
func (l *Lane) Down(i Instance, cause string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.instance == i || l.instance == nil {
		l.instance, l.cause = nil, cause
	}
}

// Reject says that the plugin will not come up by waiting. What waits is
// answered at once, and so is all that comes until Up.
func (l *Lane) Reject(cause string) {
	l.mu.Lock()
	l.instance, l.cause, l.final = nil, cause, true
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
	return State{
		Up: l.instance != nil, Cause: l.cause, Running: l.running, Stuck: l.stuck,
		Waiting: l.waiting.Len() + l.suspects.Len(), Suspects: l.suspects.Len(),
	}
}

// A step is what is left to do once the lock is free: send a try, or tell how a
// job ended.
type step struct {
	job     *Job
	try     *try // nil: tell outcome
	req     stream.Request
	outcome Outcome
}

type steps []step

func (s steps) run() {
	for _, s := range s {
		if s.try != nil {
			s.try.send(s.req)
		} else {
			s.job.done(s.outcome)
		}
	}
}

// result takes what came of t, from the instance's goroutine.
func (t *try) result(r stream.Result) {
	j, l := t.job, t.job.lane
	l.mu.Lock()
	if r.Crashed && l.instance == t.on { // nothing more is sent there
		l.instance, l.cause = nil, "it has crashed"
	}
	if j.state == ended || j.current != t {
		var next steps
		if l.instance == t.on {
			l.stuck--
			next = l.next()
		}
		l.mu.Unlock()
		next.run()
		return
	}
	var next steps
	o, over := l.conclude(j, r)
	if l.alone != nil || l.suspects.Len() > 0 || l.waiting.Len() > 0 {
		next = l.next()
	}
	l.mu.Unlock()
	if over {
		j.done(o)
	}
	next.run()
}

// conclude decides what a result means for j: an outcome, or another try.
func (l *Lane) conclude(j *Job, r stream.Result) (o Outcome, over bool) {
	if r.NotStarted {
		j.attempt--
	}
	switch o = j.outcome(); {
	case !r.Crashed:
		o.take(r)
	case j.revoked:
		o.Dropped = true
	case !r.NotStarted && j.attempt >= j.req.MaxAttempts:
		o.fail(wire.StatusPluginCrashed, fmt.Sprintf("plugin %s crashed %d times while it handled this request", l.name, j.attempt))
	default:
		l.halt(j)
		if r.NotStarted {
			l.queue(j, &l.waiting)
		} else {
			l.queue(j, &l.suspects)
		}
		return o, false
	}
	l.halt(j)
	l.end(j)
	return o, true
}

// open says whether anything can be begun now. l.mu is held.
func (l *Lane) open() bool { return l.instance != nil && l.alone == nil && l.stuck < l.most }

// next lists what can be begun now. l.mu is held.
func (l *Lane) next() steps {
	var next steps
	for l.open() && l.suspects.Len() > 0 {
		j := l.suspects.Front().Value.(*Job)
		s, ok := l.begin(j)
		next = append(next, s)
		if ok {
			l.alone = j
			time.AfterFunc(l.solo, func() { l.cleared(j, s.try) })
		}
	}
	for l.open() && l.waiting.Len() > 0 {
		s, _ := l.begin(l.waiting.Front().Value.(*Job))
		next = append(next, s)
	}
	return next
}

// cleared lets the next one begin where a suspect has run alone long enough.
func (l *Lane) cleared(j *Job, t *try) {
	l.mu.Lock()
	var next steps
	if l.alone == j && j.current == t {
		l.alone = nil
		next = l.next()
	}
	l.mu.Unlock()
	next.run()
}

// begin makes j run, or ends it where its topic has no handler. l.mu is held.
func (l *Lane) begin(j *Job) (s step, ok bool) {
	l.unqueue(j)
	j.plugin = l.answers
	route := l.routes[j.req.Info.Topic]
	if route.Handler == "" {
		o := j.outcome()
		o.fail(wire.StatusNoHandler, route.Problem)
		l.end(j)
		return step{job: j, outcome: o}, false
	}
	t := &j.first
	if j.attempt > 0 || t.job != nil {
		t = new(try)
	}
	t.job, t.on = j, l.instance
	j.state, j.current = running, t
	j.attempt++
	l.running++
	l.arm(j)
	info := j.req.Info
	info.Handler, info.Attempt = route.Handler, j.attempt
	return step{job: j, try: t, req: stream.Request{
		Handler: route.Handler, Info: info, Deadline: j.req.Deadline, Payload: j.req.Payload,
	}}, true
}

// queue lets j wait in at. l.mu is held.
func (l *Lane) queue(j *Job, at *list.List) {
	j.state, j.at = waiting, at
	j.place = at.PushBack(j)
	l.arm(j)
}

func (l *Lane) unqueue(j *Job) {
	if j.place != nil {
		j.at.Remove(j.place)
		j.place, j.at = nil, nil
	}
}

// arm sets j's timer for what it is doing now.
func (l *Lane) arm(j *Job) {
	left := time.Until(j.due())
	if j.timer == nil {
		j.timer = time.AfterFunc(left, j.expire)
	} else {
		j.timer.Reset(left)
	}
}

// halt takes j away from the instance. l.mu is held.
func (l *Lane) halt(j *Job) {
	if j.current != nil && j.current.on == l.instance {
		l.running--
	}
	if l.alone == j {
		l.alone = nil
	}
	j.current = nil
}

// end closes j, wherever it is, and returns the try that still runs. l.mu is held.
func (l *Lane) end(j *Job) *try {
	t := j.current
	if t != nil && t.on == l.instance {
		l.stuck++ // until its result comes
	}
	l.halt(j)
	l.unqueue(j)
	j.state = ended
	if j.timer != nil {
		j.timer.Stop()
	}
	return t
}

// why says why a waiting job got no handler, in words that a requester may read:
// the cause may hold what the plugin printed. l.mu is held.
func (l *Lane) why() string {
	switch {
	case l.instance == nil && l.final:
		return fmt.Sprintf("plugin %s cannot be run; /readyz of the host says why", l.name)
	case l.instance == nil:
		return fmt.Sprintf("plugin %s is down; /readyz of the host says why", l.name)
	case l.stuck >= l.most:
		return fmt.Sprintf("plugin %s has %d handlers that run on although their requests have ended", l.name, l.stuck)
	default:
		return fmt.Sprintf("plugin %s is trying requests that may have crashed it, one by one", l.name)
	}
}
