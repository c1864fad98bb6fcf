// Package dispatch brings a request to the handler it is for, and says how it
// ended: it waits for a plugin that is being started, ends what is too late, and
// tries again what a crash interrupted.
package dispatch

import (
	"container/list"
	"fmt"
	"slices"
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
// everybody else waiting, and a request that kills does so early, as a rule. New
// requests go to the other instances; where there is none, they wait until all
// suspects are begun.
type Lane struct {
	name string
	most int // of stuck handlers at an instance; beyond, nothing is begun there

	mu       sync.Mutex    // guards all below, and the state of each job
	members  []*member     // the instances that are up
	cause    string        // why there is none
	final    bool          // and waiting would not help
	alone    *Job          // the suspect that runs alone now
	solo     time.Duration // how long each of the suspects may
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
	drained chan struct{}    // closed when it is not open and no job runs; nil if nobody asked
}

const (
	// soloPhase bounds how long new requests wait for suspects.
	soloPhase = 5 * time.Second
	// soloMost is how long one suspect is alone at the most.
	soloMost = time.Second
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

// Running is how many requests run at i.
func (l *Lane) Running(i Instance) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.find(i); m != nil {
		return m.running
	}
	return 0
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
	if r.Crashed && t.at.open { // nothing more is sent there
		l.remove(t.at)
		if len(l.members) == 0 {
			l.cause = "it has crashed"
		}
	}
	if j.state == ended || j.current != t {
		t.at.stuck--
		next := l.next()
		l.mu.Unlock()
		next.run()
		return
	}
	var next steps
	o, over := l.conclude(j, r)
	if j.suspect || l.suspects.Len() > 0 || l.waiting.Len() > 0 {
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
	case l.final: // there is nothing to try it at
		o.fail(wire.StatusPluginUnavailable, l.why())
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

// The rest is called with l.mu held.

func (l *Lane) find(i Instance) *member {
	for _, m := range l.members {
		if m.on == i {
			return m
		}
	}
	return nil
}

func (l *Lane) add(i Instance, version string, routes map[string]Route) {
	l.cause, l.final = "", false
	l.members = append(l.members, &member{on: i, answers: wire.PluginText(l.name, version), routes: routes, open: true})
}

func (l *Lane) remove(m *member) {
	l.retire(m)
	l.members = slices.DeleteFunc(l.members, func(o *member) bool { return o == m })
}

func (l *Lane) retire(m *member) {
	if l.alone != nil && l.alone.current.at == m {
		l.alone = nil
	}
	m.open, m.solo = false, false
	m.drainedNow()
}

func (m *member) drainedNow() {
	if m.drained != nil && !m.open && m.running == 0 {
		select {
		case <-m.drained:
		default:
			close(m.drained)
		}
	}
}

// pick is the member with the least to do of those that take requests; nil if
// none does.
func (l *Lane) pick() *member {
	var best *member
	for _, m := range l.members {
		if m.open && !m.solo && m.stuck < l.most && (best == nil || m.running+m.stuck < best.running+best.stuck) {
			best = m
		}
	}
	return best
}

// isolated is the member that is set aside for suspects. It takes the first once
// all that others have begun there has ended.
func (l *Lane) isolated() *member {
	for _, m := range l.members {
		if m.solo {
			return m
		}
	}
	m := l.pick()
	if m != nil {
		m.solo = true
		l.solo = min(soloPhase/time.Duration(max(1, l.suspects.Len())), soloMost)
	}
	return m
}

// next lists what can be begun now.
func (l *Lane) next() steps {
	var next steps
	for l.suspects.Len() > 0 {
		m := l.isolated()
		if m == nil || l.alone != nil || m.others > 0 || m.stuck >= l.most {
			break
		}
		j := l.suspects.Front().Value.(*Job)
		s, ok := l.begin(j, m)
		next = append(next, s)
		if ok {
			l.alone = j
			time.AfterFunc(l.solo, func() { l.cleared(j, s.try) })
		}
	}
	if l.suspects.Len() == 0 && l.alone == nil {
		for _, m := range l.members {
			m.solo = false
		}
	}
	for l.waiting.Len() > 0 {
		m := l.pick()
		if m == nil {
			break
		}
		s, _ := l.begin(l.waiting.Front().Value.(*Job), m)
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

// begin makes j run at m, or ends it where its topic has no handler.
func (l *Lane) begin(j *Job, m *member) (s step, ok bool) {
	l.unqueue(j)
	j.plugin = m.answers
	route := m.routes[j.req.Info.Topic]
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
	t.job, t.at, t.schema = j, m, route.Schema
	j.state, j.current, j.suspect = running, t, m.solo
	j.attempt++
	m.running++
	if !j.suspect {
		m.others++
	}
	l.arm(j)
	info := j.req.Info
	info.Handler, info.Attempt = route.Handler, j.attempt
	return step{job: j, try: t, req: stream.Request{
		Handler: route.Handler, Info: info, Deadline: j.req.Deadline, Payload: j.req.Payload,
	}}, true
}

// queue lets j wait in at.
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

// halt takes j away from its member.
func (l *Lane) halt(j *Job) {
	if l.alone == j {
		l.alone = nil
	}
	if j.current == nil {
		return
	}
	m := j.current.at
	m.running--
	if !j.suspect {
		m.others--
	}
	m.drainedNow()
	j.current = nil
}

// end closes j, wherever it is, and returns the try that still runs.
func (l *Lane) end(j *Job) *try {
	t := j.current
	if t != nil {
		t.at.stuck++ // until its result comes
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
// the cause may hold what the plugin printed.
func (l *Lane) why() string {
	stuck := 0
	for _, m := range l.members {
		stuck += m.stuck
	}
	switch {
	case l.final:
		return fmt.Sprintf("plugin %s cannot be run; /readyz of the host says why", l.name)
	case len(l.members) == 0:
		return fmt.Sprintf("plugin %s is down; /readyz of the host says why", l.name)
	case stuck >= l.most*len(l.members):
		return fmt.Sprintf("plugin %s has %d handlers that run on although their requests have ended", l.name, stuck)
	default:
		return fmt.Sprintf("plugin %s is trying requests that may have crashed it, one by one", l.name)
	}
}
