package dispatch

import (
	"container/list"
	"encoding/json"
	"sync/atomic"
	"time"

	"rrhost/internal/handler"
	"rrhost/internal/schema"
	"rrhost/internal/stream"
	"rrhost/internal/wire"
)

// A Request is a decrypted request with all that its handling needs.
type Request struct {
	Info        handler.Info // Handler and Attempt are set by the lane
	Payload     []byte
	Deadline    time.Time // on this host's clock
	MaxAttempts int       // at least 1
}

// An Outcome is how a request ended.
type Outcome struct {
	Status   wire.Status
	Payload  []byte         // of an ok: the response
	Error    wire.ErrorBody // of any other status
	Attempt  int            // tries that may have reached a handler
	Duration time.Duration  // in the handler, as the plugin measured it; since it was sent there, if it did not answer
	Plugin   string         // who answered, as [wire.PluginText] writes it; the name alone if nobody did

	// Dropped says that the request was given up together with its claim. It
	// has no outcome here: whoever gets the partition will handle it.
	Dropped bool
}

type state int

const (
	waiting state = iota // for the plugin, or for its turn to run alone
	running
	ended
)

// A Job is one request on its way through a [Lane].
type Job struct {
	lane  *Lane
	req   Request
	given time.Duration // from its start to its deadline
	done  func(Outcome) // called once, without the lock

	// Guarded by lane.mu.
	state   state
	revoked bool // its claim is being given up: no further try
	attempt int
	spared  int // of them, those that ended in a crash which another suspect may have caused
	plugin  string
	timer   *time.Timer
	place   *list.Element // in the lane's waiting or suspects
	at      *list.List    // which of the two
	current *try          // while running
	suspect bool          // it was begun as one
	first   try
}

// A try is one time that a job was sent to a member.
type try struct {
	job    *Job
	at     *member
	schema *schema.Schema // that the payload must fit, or nil
	begun  time.Time
	number atomic.Uint64 // there; 0 until known, cancelled once nobody wants it
}

const cancelled = ^uint64(0)

// send starts t, after its check if there is one. The lane's lock is not held:
// done may be called right away.
func (t *try) send(req stream.Request) {
	if t.schema != nil {
		t.check(req)
	} else {
		t.start(req)
	}
}

// check starts t if its payload fits, elsewhere: the payload decides how long that
// takes, and send is called by who starts all requests of a partition. What is
// checked counts as running, which bounds the goroutines.
//
// It is apart from send because its goroutine has req on the heap, and most
// requests need no check.
func (t *try) check(req stream.Request) {
	t.job.lane.checks.Go(func() {
		if t.number.Load() != cancelled {
			if refusal := t.schema.Refusal(req.Payload); refusal != nil {
				t.result(stream.Result{Result: handler.Result{Err: refusal}})
				return
			}
		}
		t.start(req)
	})
}

func (t *try) start(req stream.Request) {
	if t.number.Load() == cancelled {
		t.result(stream.Result{}) // of a job that has ended: it only counts
		return
	}
	number := t.at.on.Start(req, t.result)
	if !t.number.CompareAndSwap(0, number) {
		t.at.on.Cancel(number) // it was cancelled before its number was known
	}
}

func (t *try) cancel() {
	if number := t.number.Swap(cancelled); number != 0 && number != cancelled {
		t.at.on.Cancel(number)
	}
}

// Revoke drops j unless it runs now. What runs may finish, but is not tried
// again.
func (j *Job) Revoke() {
	l := j.lane
	l.mu.Lock()
	j.revoked = true
	drop := j.state == waiting
	var next steps
	if drop {
		l.end(j)
		next = l.next()
	}
	l.mu.Unlock()
	if drop {
		j.done(Outcome{Dropped: true})
	}
	next.run()
}

// Abandon drops j, and cancels it if it runs.
func (j *Job) Abandon() {
	l := j.lane
	l.mu.Lock()
	if j.state == ended {
		l.mu.Unlock()
		return
	}
	t := l.end(j)
	next := l.next()
	l.mu.Unlock()
	if t != nil {
		t.cancel()
	}
	j.done(Outcome{Dropped: true})
	next.run()
}

// expire runs when j's timer fires: at the deadline if it runs; if it waits, a
// little earlier, so that the requester still hears why.
func (j *Job) expire() {
	l := j.lane
	l.mu.Lock()
	if j.state == ended {
		l.mu.Unlock()
		return
	}
	if early := time.Until(j.due()); early > 0 { // it began to run since the timer was set
		j.timer.Reset(early)
		l.mu.Unlock()
		return
	}
	o := j.outcome()
	if j.state == running {
		o.Duration = time.Since(j.current.begun)
		o.fail(wire.StatusDeadlineExceeded, "the handler did not answer in time")
	} else {
		o.fail(wire.StatusPluginUnavailable, l.why())
	}
	t := l.end(j)
	next := l.next()
	l.mu.Unlock()
	if t != nil {
		t.cancel()
	}
	j.done(o)
	next.run()
}

// due is when j must have an outcome, given what it is doing. A waiting job
// gives up 250 ms or 5 % of its time before its deadline, but never more than
// half of it.
func (j *Job) due() time.Time {
	if j.state == running {
		return j.req.Deadline
	}
	return j.req.Deadline.Add(-min(max(250*time.Millisecond, j.given/20), j.given/2))
}

func (j *Job) outcome() Outcome { return Outcome{Attempt: j.attempt, Plugin: j.plugin} }

func (o *Outcome) fail(s wire.Status, message string) {
	o.Status = s
	o.Error = wire.ErrorBody{Code: string(s), Message: message}
}

// take fills o with what the handler answered.
func (o *Outcome) take(r stream.Result) {
	o.Duration = r.Duration
	if r.Err == nil {
		o.Status, o.Payload = wire.StatusOK, r.Payload
		return
	}
	o.Status = wire.Status(r.Err.Status)
	if !o.Status.Valid() || o.Status == wire.StatusOK {
		o.Status = wire.StatusHandlerError
	}
	o.Error = wire.ErrorBody{Code: r.Err.Code, Message: r.Err.Message}
	if json.Valid(r.Err.Details) { // anything else would make the whole body unreadable
		o.Error.Details = r.Err.Details
	}
}
