package dispatch

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rrhost/internal/handler"
	"rrhost/internal/stream"
	"rrhost/internal/wire"
)

// After a crash each suspect runs with nothing beside it, and new requests wait.
func TestSuspectsRunAlone(t *testing.T) {
	run(t, func(t *testing.T, l *Lane, g *log) {
		p := &fake{}
		l.Up(p, "v1", routes)
		for _, id := range []string{"a", "b", "c"} {
			g.start(l, request(id, time.Minute))
		}
		p.answer(1, `{}`)
		p.crash(l, 1)
		g.start(l, request("new", time.Minute))
		g.want("b", wire.StatusOK, 1)

		q := &fake{}
		l.Up(q, "v1", routes)
		if got := q.ids(); !slices.Equal(got, []string{"a"}) {
			t.Fatalf("started %v, want the first suspect alone", got)
		}
		q.answer(0, `{}`)
		if got := q.ids(); !slices.Equal(got, []string{"a", "c"}) {
			t.Fatalf("started %v, want the second suspect alone", got)
		}
		q.answer(1, `{}`)
		if got := q.ids(); !slices.Equal(got, []string{"a", "c", "new"}) {
			t.Fatalf("started %v, want the new one last", got)
		}
		if q.started[1].Info.Attempt != 2 || q.started[2].Info.Attempt != 1 {
			t.Errorf("attempts %d and %d, want 2 and 1", q.started[1].Info.Attempt, q.started[2].Info.Attempt)
		}
		q.answer(2, `{}`)
		g.want("a", wire.StatusOK, 2)
		g.want("c", wire.StatusOK, 2)
		g.want("new", wire.StatusOK, 1)
	})
}

func TestPoisonTakesNoNeighbour(t *testing.T) {
	run(t, func(t *testing.T, l *Lane, g *log) {
		p := &fake{}
		l.Up(p, "v1", routes)
		g.start(l, request("poison", time.Minute))
		g.start(l, request("neighbour", time.Minute))
		p.crash(l)
		q := &fake{}
		l.Up(q, "v1", routes)
		time.Sleep(3 * time.Millisecond)
		q.crash(l) // the poison, alone
		if o := g.want("poison", wire.StatusPluginCrashed, 2); o.Duration != 3*time.Millisecond {
			t.Errorf("its last try took %s, want 3 ms", o.Duration)
		}
		r := &fake{}
		l.Up(r, "v1", routes)
		r.answer(0, `{}`)
		g.want("neighbour", wire.StatusOK, 2)
	})
}

// What no handler has seen is tried again without counting, and is no suspect.
func TestNotStartedCountsForNothing(t *testing.T) {
	run(t, func(t *testing.T, l *Lane, g *log) {
		p := &fake{}
		l.Up(p, "v1", routes)
		p.dead = true // it has ended, and the lane does not know yet
		for _, id := range []string{"a", "b"} {
			g.start(l, request(id, time.Minute))
		}
		l.Down(p, "killed")
		q := &fake{}
		l.Up(q, "v1", routes)
		if got := q.ids(); !slices.Equal(got, []string{"a", "b"}) {
			t.Fatalf("started %v, want both at once", got)
		}
		q.answer(0, `{}`)
		q.answer(1, `{}`)
		g.want("a", wire.StatusOK, 1)
		g.want("b", wire.StatusOK, 1)
	})
}

// A slow suspect keeps others waiting for its part of the solo phase only.
func TestSlowSuspectsDoNotKeepOthersWaiting(t *testing.T) {
	run(t, func(t *testing.T, l *Lane, g *log) {
		p := &fake{}
		l.Up(p, "v1", routes)
		const n = 20
		for i := range n {
			g.start(l, request(fmt.Sprint(i), time.Minute))
		}
		p.crash(l)
		g.start(l, request("new", time.Minute))
		q := &fake{}
		l.Up(q, "v1", routes)
		for i := range n {
			synctest.Wait()
			if got := len(q.ids()); got != i+1 {
				t.Fatalf("%d are begun after %d parts of the solo phase", got, i)
			}
			time.Sleep(soloPhase / n)
		}
		synctest.Wait()
		if ids := q.ids(); ids[len(ids)-1] != "new" {
			t.Errorf("begun %v, want the new one last", ids)
		}
	})
}

// A suspect that does not heed its context does not hold up the others for ever.
func TestSuspectPastItsDeadlineLetsTheNextRun(t *testing.T) {
	run(t, func(t *testing.T, l *Lane, g *log) {
		p := &fake{}
		l.Up(p, "v1", routes)
		g.start(l, request("slow", time.Second))
		g.start(l, request("next", time.Minute))
		p.crash(l)
		q := &fake{}
		l.Up(q, "v1", routes)
		time.Sleep(time.Second)
		synctest.Wait()
		g.want("slow", wire.StatusDeadlineExceeded, 2)
		q.answer(1, `{}`)
		g.want("next", wire.StatusOK, 2)
	})
}

// A mortal is an instance that runs each request for a while, and is killed by
// one whose id begins with "killer".
type mortal struct {
	works, kills time.Duration // how long a request takes to answer, or to kill
	died         func()        // called once, after the last result

	mu    sync.Mutex // guards all below
	dead  bool
	last  uint64
	dones map[uint64]func(stream.Result)
}

func (m *mortal) Start(r stream.Request, done func(stream.Result)) uint64 {
	m.mu.Lock()
	if m.dead {
		m.mu.Unlock()
		done(stream.Result{Crashed: true, NotStarted: true})
		return 1
	}
	defer m.mu.Unlock()
	m.last++
	n := m.last
	m.dones[n] = done
	if strings.HasPrefix(r.Info.RequestID, "killer") {
		time.AfterFunc(m.kills, m.die)
	} else {
		time.AfterFunc(m.works, func() { m.answer(n) })
	}
	return n
}

func (m *mortal) Cancel(uint64) {} // what it has begun, it finishes

func (m *mortal) answer(n uint64) {
	m.mu.Lock()
	done := m.dones[n]
	delete(m.dones, n)
	m.mu.Unlock()
	if done != nil {
		done(stream.Result{Result: handler.Result{Payload: []byte(`{}`)}})
	}
}

func (m *mortal) die() {
	m.mu.Lock()
	if m.dead {
		m.mu.Unlock()
		return
	}
	m.dead = true
	dones := m.dones
	m.dones = nil
	m.mu.Unlock()
	for _, done := range dones {
		done(stream.Result{Crashed: true})
	}
	m.died()
}

// However long a killer takes, it alone is answered plugin_crashed: a crash while
// several suspects ran counts against none of them.
func TestKillersTakeNoNeighbour(t *testing.T) {
	tests := []struct {
		name         string
		works, kills time.Duration
		killers      int
		crashes      int // at most
	}{
		{"at once, among quick ones", time.Millisecond, 0, 3, 9},
		{"at once, among slow ones", 2 * time.Second, 0, 3, 12},
		{"after a while, among quick ones", time.Millisecond, 400 * time.Millisecond, 1, 6},
		{"after a while, among slow ones", 2 * time.Second, 400 * time.Millisecond, 1, 9},
		{"late, among quick ones", time.Millisecond, 5 * time.Second, 1, 10},
		{"late, among slow ones", 2 * time.Second, 5 * time.Second, 3, 25},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(t *testing.T, l *Lane, g *log) {
				var crashes int // by one mortal at a time
				var up func()
				up = func() {
					m := &mortal{works: tt.works, kills: tt.kills, dones: map[uint64]func(stream.Result){}}
					m.died = func() {
						crashes++
						l.Down(m, "killed")
						time.Sleep(100 * time.Millisecond)
						up()
					}
					l.Up(m, "v1", routes)
				}
				up()
				const n = 64
				begin := func(id string) {
					r := request(id, time.Hour)
					r.MaxAttempts = 3
					g.start(l, r)
				}
				for i := range n {
					if i%(n/4) == 1 && i/(n/4) < tt.killers {
						begin(fmt.Sprint("killer ", i))
					}
					begin(fmt.Sprint(i))
				}
				for i := range n { // others come all the time
					time.Sleep(50 * time.Millisecond)
					begin(fmt.Sprint(n + i))
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				killed := 0
				for id, o := range g.got {
					want := wire.StatusOK
					if strings.HasPrefix(id, "killer") {
						want = wire.StatusPluginCrashed
						killed++
					}
					if o.Status != want {
						t.Errorf("%s: %+v, want %s", id, o, want)
					}
				}
				if len(g.got) != 2*n+tt.killers || killed != tt.killers {
					t.Errorf("%d outcomes, %d of killers", len(g.got), killed)
				}
				t.Logf("%d crashes", crashes)
				if crashes > tt.crashes {
					t.Errorf("%d crashes, want at most %d", crashes, tt.crashes)
				}
				if l.tried != 0 || l.doubts != 0 || l.alone != nil {
					t.Errorf("left over: %d tried, %d doubts, alone %v", l.tried, l.doubts, l.alone != nil)
				}
			})
		})
	}
}
