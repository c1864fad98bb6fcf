package dispatch

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rrhost/internal/handler"
	"rrhost/internal/schema"
	"rrhost/internal/stream"
	"rrhost/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fake is an instance whose results the test decides.
type fake struct {
	mu        sync.Mutex // guards all below: timers call too
	dead      bool
	started   []stream.Request
	dones     []func(stream.Result)
	cancelled []uint64
}

func (f *fake) Start(r stream.Request, done func(stream.Result)) uint64 {
	f.mu.Lock()
	if f.dead {
		f.mu.Unlock()
		done(stream.Result{Crashed: true, NotStarted: true})
		return 0
	}
	f.started = append(f.started, r)
	f.dones = append(f.dones, done)
	number := uint64(len(f.started))
	f.mu.Unlock()
	return number
}

func (f *fake) Cancel(n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cancelled = append(f.cancelled, n)
}

func (f *fake) done(i int) func(stream.Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dones[i]
}

func (f *fake) answer(i int, payload string) {
	f.done(i)(stream.Result{Result: handler.Result{Payload: []byte(payload), Duration: time.Millisecond}})
}

// crash ends f: all that has no result gets none.
func (f *fake) crash(l *Lane, answered ...int) {
	f.mu.Lock()
	f.dead = true
	n := len(f.dones)
	f.mu.Unlock()
	for i := range n {
		if !slices.Contains(answered, i) {
			f.done(i)(stream.Result{Crashed: true})
		}
	}
	l.Down(f, "killed")
}

func (f *fake) ids() (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.started {
		ids = append(ids, r.Info.RequestID)
	}
	return ids
}

var routes = map[string]Route{"calculate": {Handler: "calc"}, "lost": {Problem: "plugin p has no handler named lost; it has: calc"}}

func request(id string, timeout time.Duration) Request {
	return Request{
		Info:    handler.Info{RequestID: id, Topic: "calculate"},
		Payload: []byte(`{}`), Deadline: time.Now().Add(timeout), MaxAttempts: 2,
	}
}

// A log has the outcomes by request id, as they come.
type log struct {
	t   *testing.T
	mu  sync.Mutex // guards got
	got map[string]Outcome
}

func (g *log) outcome(id string) (Outcome, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	o, ok := g.got[id]
	return o, ok
}

func (g *log) start(l *Lane, r Request) *Job {
	return l.Start(r, func(o Outcome) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if _, twice := g.got[r.Info.RequestID]; twice {
			g.t.Errorf("%s has two outcomes", r.Info.RequestID)
		}
		g.got[r.Info.RequestID] = o
	})
}

func (g *log) want(id string, status wire.Status, attempt int) Outcome {
	g.t.Helper()
	o, ok := g.outcome(id)
	if !ok {
		g.t.Fatalf("%s has no outcome", id)
	}
	if o.Status != status || o.Attempt != attempt || o.Dropped {
		g.t.Errorf("%s: %+v, want %s at attempt %d", id, o, status, attempt)
	}
	return o
}

func (g *log) none(id string) {
	g.t.Helper()
	if o, ok := g.outcome(id); ok {
		g.t.Errorf("%s has an outcome already: %+v", id, o)
	}
}

func run(t *testing.T, f func(t *testing.T, l *Lane, g *log)) {
	synctest.Test(t, func(t *testing.T) {
		f(t, NewLane("p", 100), &log{t: t, got: map[string]Outcome{}})
	})
}

func TestAnswer(t *testing.T) {
	run(t, func(t *testing.T, l *Lane, g *log) {
		p := &fake{}
		l.Up(p, "v1.2.0", routes)
		g.start(l, request("a", time.Second))
		if r := p.started[0]; r.Handler != "calc" || r.Info.Handler != "calc" || r.Info.Attempt != 1 {
			t.Errorf("started %+v", r)
		}
		p.answer(0, `{"result":15}`)
		if o := g.want("a", wire.StatusOK, 1); string(o.Payload) != `{"result":15}` || o.Plugin != "p v1.2.0" || o.Duration != time.Millisecond {
			t.Errorf("outcome %+v", o)
		}
		time.Sleep(2 * time.Second) // past the deadline: nothing more happens
		if s := l.State(); s.Running != 0 || s.Stuck != 0 {
			t.Errorf("state %+v", s)
		}
	})
}

func TestHandlersOwnErrors(t *testing.T) {
	tests := []struct {
		name string
		err  handler.Error
		want wire.Status
		body string
	}{
		{"its own code", handler.Error{Status: "handler_error", Code: "no_such_account", Message: "42", Details: json.RawMessage(`{"n":1}`)},
			wire.StatusHandlerError, `{"code":"no_such_account","message":"42","details":{"n":1}}`},
		{"invalid payload", handler.Error{Status: "invalid_payload", Code: "invalid_payload", Message: "a: want a number"},
			wire.StatusInvalidPayload, `{"code":"invalid_payload","message":"a: want a number"}`},
		{"details that are no JSON are left out", handler.Error{Status: "handler_error", Code: "x", Details: json.RawMessage(`{"n":`)},
			wire.StatusHandlerError, `{"code":"x","message":""}`},
		{"a status that there is not", handler.Error{Status: "teapot", Code: "x"}, wire.StatusHandlerError, `{"code":"x","message":""}`},
		{"an error that says ok", handler.Error{Status: "ok", Code: "x"}, wire.StatusHandlerError, `{"code":"x","message":""}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(t *testing.T, l *Lane, g *log) {
				p := &fake{}
				l.Up(p, "v1", routes)
				g.start(l, request("a", time.Second))
				p.dones[0](stream.Result{Result: handler.Result{Err: &tt.err}})
				o := g.want("a", tt.want, 1)
				if body, _ := json.Marshal(o.Error); string(body) != tt.body {
					t.Errorf("body %s, want %s", body, tt.body)
				}
			})
		})
	}
}

// A check takes as long as the payload wants, so whoever starts a request must
// not wait for it; and what nobody wants any more by its end is not begun.
func TestChecksKeepNobodyWaiting(t *testing.T) {
	s, err := schema.Compile([]byte(`{"items":{"type":"number"}}`))
	if err != nil {
		t.Fatal(err)
	}
	checked := map[string]Route{"calculate": {Handler: "calc", Schema: s}}
	long := func(id, last string, timeout time.Duration) Request {
		payload := []byte("[" + strings.Repeat("1,", 400_000) + last + "]")
		r := request(id, timeout)
		r.Payload = payload
		return r
	}
	begin := func() (*fake, *Lane, *log) {
		p, l := &fake{}, NewLane("p", 100)
		l.Up(p, "v1", checked)
		return p, l, &log{t: t, got: map[string]Outcome{}}
	}
	t.Run("fits", func(t *testing.T) {
		p, l, g := begin()
		g.start(l, long("a", "1", time.Minute))
		if ids := p.ids(); ids != nil {
			t.Error("it was checked before Start returned")
		}
		l.Wait()
		if ids := p.ids(); !slices.Equal(ids, []string{"a"}) {
			t.Fatalf("started %v", ids)
		}
		p.answer(0, `{}`)
		g.want("a", wire.StatusOK, 1)
	})
	t.Run("misfits", func(t *testing.T) {
		p, l, g := begin()
		g.start(l, long("a", `"x"`, time.Minute))
		g.none("a")
		l.Wait()
		if o := g.want("a", wire.StatusInvalidPayload, 1); o.Error.Message == "" || p.ids() != nil {
			t.Errorf("%+v, started %v", o, p.ids())
		}
	})
	t.Run("given up", func(t *testing.T) {
		p, l, g := begin()
		g.start(l, long("a", "1", time.Minute)).Abandon()
		if o, ok := g.outcome("a"); !ok || !o.Dropped {
			t.Errorf("Abandon waited: %+v", o)
		}
		l.Wait()
		if ids := p.ids(); ids != nil {
			t.Errorf("started %v", ids)
		}
		if s := l.State(); s.Running != 0 || s.Stuck != 0 {
			t.Errorf("state %+v", s)
		}
	})
	t.Run("too late", func(t *testing.T) {
		p, l, _ := begin()
		ended := make(chan Outcome, 1)
		l.Start(long("a", "1", 30*time.Millisecond), func(o Outcome) { ended <- o })
		if o := <-ended; o.Status != wire.StatusDeadlineExceeded || o.Attempt != 1 {
			t.Errorf("%+v", o)
		}
		l.Wait()
		if ids := p.ids(); ids != nil {
			t.Errorf("started %v", ids)
		}
		if s := l.State(); s.Running != 0 || s.Stuck != 0 {
			t.Errorf("state %+v", s)
		}
	})
}

func TestTooLateToStart(t *testing.T) {
	run(t, func(t *testing.T, l *Lane, g *log) {
		p := &fake{}
		l.Up(p, "v1", routes)
		g.start(l, request("a", 0))
		g.want("a", wire.StatusExpired, 0)
		if len(p.started) > 0 {
			t.Error("the handler has seen it")
		}
	})
}

func TestDeadlineWhileItRuns(t *testing.T) {
	run(t, func(t *testing.T, l *Lane, g *log) {
		p := &fake{}
		l.Up(p, "v1", routes)
		g.start(l, request("a", time.Second))
		time.Sleep(time.Second - 1)
		synctest.Wait()
		g.none("a")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if o := g.want("a", wire.StatusDeadlineExceeded, 1); o.Duration != time.Second {
			t.Errorf("it took %s, want a second", o.Duration)
		}
		if !slices.Equal(p.cancelled, []uint64{1}) {
			t.Errorf("cancelled %v, want its number", p.cancelled)
		}
		if s := l.State(); s.Stuck != 1 || s.Running != 0 {
			t.Errorf("state %+v, want one stuck handler", s)
		}
		p.answer(0, `{}`) // too late: changes nothing
		if s := l.State(); s.Stuck != 0 {
			t.Errorf("state %+v, want none stuck", s)
		}
	})
}

func TestWaitsForAPluginThatStarts(t *testing.T) {
	run(t, func(t *testing.T, l *Lane, g *log) {
		g.start(l, request("a", 10*time.Second))
		time.Sleep(5 * time.Second)
		p := &fake{}
		l.Up(p, "v1", routes)
		p.answer(0, `{}`)
		g.want("a", wire.StatusOK, 1)
	})
}

// The requester hears plugin_unavailable before its own timer fires.
func TestUnavailableShortlyBeforeTheDeadline(t *testing.T) {
	tests := []struct{ timeout, after time.Duration }{
		{30 * time.Second, 28500 * time.Millisecond}, // 5 %
		{2 * time.Second, 1750 * time.Millisecond},   // 250 ms
		{200 * time.Millisecond, 100 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.timeout.String(), func(t *testing.T) {
			run(t, func(t *testing.T, l *Lane, g *log) {
				l.Down(nil, "exit status 1; it said: secret")
				g.start(l, request("a", tt.timeout))
				time.Sleep(tt.after - 1)
				synctest.Wait()
				g.none("a")
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				// The cause is the operator's: it may hold what the plugin printed.
				if o := g.want("a", wire.StatusPluginUnavailable, 0); !strings.Contains(o.Error.Message, "plugin p is down") || strings.Contains(o.Error.Message, "secret") {
					t.Errorf("message %q", o.Error.Message)
				}
				if s := l.State(); s.Cause != "exit status 1; it said: secret" {
					t.Errorf("state %+v does not say why", s)
				}
			})
		})
	}
}

func TestRejectedIsAnsweredAtOnce(t *testing.T) {
	run(t, func(t *testing.T, l *Lane, g *log) {
		g.start(l, request("waiting", 30*time.Second))
		l.Reject("there is nothing to run in plugins/p")
		g.want("waiting", wire.StatusPluginUnavailable, 0)
		g.start(l, request("later", 30*time.Second))
		g.want("later", wire.StatusPluginUnavailable, 0)
		p := &fake{}
		l.Up(p, "v1", routes) // its file was replaced
		g.start(l, request("now", 30*time.Second))
		p.answer(0, `{}`)
		g.want("now", wire.StatusOK, 1)
	})
}

// A plugin that is taken away finishes what runs; what it does not finish has no
// other to go to.
func TestRejectedFinishesWhatRuns(t *testing.T) {
	run(t, func(t *testing.T, l *Lane, g *log) {
		p := &fake{}
		l.Up(p, "v1", routes)
		g.start(l, request("finishes", 30*time.Second))
		g.start(l, request("is lost", 30*time.Second))
		l.Reject("it was removed")
		drained := l.Drained(p)
		p.answer(0, `{}`)
		g.want("finishes", wire.StatusOK, 1)
		select {
		case <-drained:
			t.Error("drained, and a request still runs")
		default:
		}
		p.done(1)(stream.Result{Crashed: true})
		g.want("is lost", wire.StatusPluginUnavailable, 1)
		<-drained
		l.Down(p, "")
	})
}

// Of several instances each request goes to the one with the least to do, where a
// handler that runs on after its request's end is something to do.
func TestLeastLoaded(t *testing.T) {
	run(t, func(t *testing.T, l *Lane, g *log) {
		p, q := &fake{}, &fake{}
		l.Up(p, "v1", routes)
		g.start(l, request("a", time.Second))
		g.start(l, request("b", time.Minute))
		l.Up(q, "v1", routes)
		for _, id := range []string{"c", "d"} {
			g.start(l, request(id, time.Minute))
		}
		if got := q.ids(); !slices.Equal(got, []string{"c", "d"}) {
			t.Fatalf("the idle one got %v", got)
		}
		p.answer(1, `{}`)
		time.Sleep(time.Second) // a's time is over, and its handler runs on
		synctest.Wait()
		q.answer(0, `{}`)
		q.answer(1, `{}`)
		g.start(l, request("e", time.Minute))
		if got := q.ids(); !slices.Equal(got, []string{"c", "d", "e"}) {
			t.Errorf("the idle one got %v", got)
		}
		p.answer(0, `{}`) // at last
		g.start(l, request("f", time.Minute))
		if got := p.ids(); !slices.Equal(got, []string{"a", "b", "f"}) {
			t.Errorf("the other one got %v", got)
		}
		q.answer(2, `{}`)
		p.answer(2, `{}`)
	})
}

func TestNoHandler(t *testing.T) {
	run(t, func(t *testing.T, l *Lane, g *log) {
		l.Up(&fake{}, "v1", routes)
		r := request("a", time.Second)
		r.Info.Topic = "lost"
		g.start(l, r)
		if o := g.want("a", wire.StatusNoHandler, 0); !strings.Contains(o.Error.Message, "it has: calc") {
			t.Errorf("message %q", o.Error.Message)
		}
	})
}

// Handlers that do not heed their context count against the bound.
func TestStuckHandlersAreBounded(t *testing.T) {
	run(t, func(t *testing.T, l *Lane, g *log) {
		l.most = 2
		p := &fake{}
		l.Up(p, "v1", routes)
		g.start(l, request("a", time.Second))
		g.start(l, request("b", time.Second))
		time.Sleep(time.Second)
		synctest.Wait()
		g.start(l, request("c", 10*time.Second))
		g.start(l, request("d", 20*time.Second))
		if len(p.ids()) != 2 {
			t.Fatalf("%d are begun, want none beyond two stuck handlers", len(p.started))
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if o := g.want("c", wire.StatusPluginUnavailable, 0); !strings.Contains(o.Error.Message, "2 handlers that run on") {
			t.Errorf("message %q", o.Error.Message)
		}
		p.answer(0, `{}`)
		p.answer(2, `{}`)
		g.want("d", wire.StatusOK, 1)
	})
}

func TestRevokeDropsWhatWaitsAndLetsTheRestFinish(t *testing.T) {
	run(t, func(t *testing.T, l *Lane, g *log) {
		waits := g.start(l, request("waits", time.Minute))
		waits.Revoke()
		if o, _ := g.outcome("waits"); !o.Dropped {
			t.Errorf("outcome %+v, want it dropped", o)
		}
		p := &fake{}
		l.Up(p, "v1", routes)
		if len(p.started) > 0 {
			t.Error("a revoked request was started")
		}
		runs := g.start(l, request("runs", time.Minute))
		crashes := g.start(l, request("crashes", time.Minute))
		runs.Revoke()
		crashes.Revoke()
		p.answer(0, `{}`)
		g.want("runs", wire.StatusOK, 1)
		p.crash(l, 0)
		if o, _ := g.outcome("crashes"); !o.Dropped {
			t.Errorf("outcome %+v, want no further try", o)
		}
	})
}

func TestAbandonCancels(t *testing.T) {
	run(t, func(t *testing.T, l *Lane, g *log) {
		p := &fake{}
		l.Up(p, "v1", routes)
		j := g.start(l, request("a", time.Minute))
		j.Abandon()
		j.Abandon()
		if o, _ := g.outcome("a"); !o.Dropped || !slices.Equal(p.cancelled, []uint64{1}) {
			t.Errorf("outcome %+v, cancelled %v", o, p.cancelled)
		}
		p.answer(0, `{}`) // changes nothing
	})
}
