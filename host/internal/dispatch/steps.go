package dispatch

import (
	"container/list"
	"fmt"
	"slices"
	"time"

	"rrhost/internal/stream"
	"rrhost/internal/wire"
)

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
	if r.Crashed {
		l.crashed(t.at)
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
	at := j.current.at
	if r.NotStarted {
		j.attempt--
	} else if r.Crashed && j.suspect && !at.guilty {
		j.spared++
	}
	switch o = j.outcome(); {
	case !r.Crashed:
		o.take(r)
	case j.revoked:
		o.Dropped = true
	case !r.NotStarted && j.attempt-j.spared >= j.req.MaxAttempts:
		o.Duration = time.Since(j.current.begun)
		o.fail(wire.StatusPluginCrashed, fmt.Sprintf("plugin %s crashed %d times while it handled this request", l.name, j.attempt))
	case l.final: // there is nothing to try it at
		o.fail(wire.StatusPluginUnavailable, l.why())
	default:
		l.halt(j)
		if r.NotStarted {
			l.queue(j, &l.waiting)
		} else {
			l.queue(j, &l.suspects)
			if j == at.likely {
				l.suspects.MoveToFront(j.place)
			}
		}
		return o, false
	}
	l.halt(j)
	l.end(j)
	return o, true
}

// The rest is called with l.mu held.

// crashed takes m away at the first of its results that says so: nothing more is
// sent there. What runs then tells whether one request is to blame.
func (l *Lane) crashed(m *member) {
	if m.crashed {
		return
	}
	m.crashed = true
	m.guilty = m.running == 1 && m.stuck == 0
	if l.alone != nil && l.alone.current.at == m {
		m.likely = l.alone
	}
	if m.running > m.others && !m.guilty {
		l.doubts++
	}
	if m.open {
		l.remove(m)
		if len(l.members) == 0 {
			l.cause = "it has crashed"
		}
	}
}

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
		l.joined()
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
		l.solo = min(soloPhase/time.Duration(max(1, l.suspects.Len())), soloMost) << min(l.doubts, soloDoublings)
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
			l.phase = time.AfterFunc(l.solo, func() { l.cleared(j, s.try) })
		}
	}
	if l.suspects.Len() == 0 && l.alone == nil {
		for _, m := range l.members {
			m.solo = false
		}
		if l.tried == 0 {
			l.doubts = 0
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

// joined ends the time that a suspect is alone. Its timer, which may be set to
// days, must not keep the job.
func (l *Lane) joined() {
	l.alone = nil
	l.phase.Stop()
}

// cleared lets the next one begin where a suspect has run alone long enough.
func (l *Lane) cleared(j *Job, t *try) {
	l.mu.Lock()
	var next steps
	if l.alone == j && j.current == t {
		l.joined()
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
	t.job, t.at, t.schema, t.begun = j, m, route.Schema, time.Now()
	j.state, j.current, j.suspect = running, t, m.solo
	j.attempt++
	m.running++
	if j.suspect {
		l.tried++
	} else {
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
		l.joined()
	}
	if j.current == nil {
		return
	}
	m := j.current.at
	m.running--
	if j.suspect {
		l.tried--
	} else {
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
