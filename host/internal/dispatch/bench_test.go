package dispatch

import (
	"testing"
	"time"

	"rrhost/internal/handler"
	"rrhost/internal/stream"
	"rrhost/internal/wire"
)

// A prompt instance answers at once, and allocates nothing: what is counted is
// the lane's own.
type prompt struct{ answer stream.Result }

func (p *prompt) Start(_ stream.Request, done func(stream.Result)) uint64 {
	done(p.answer)
	return 1
}

func (p *prompt) Cancel(uint64) {}

// dispatched is a request from the start of a lane to its outcome.
func dispatched(t testing.TB) func() {
	t.Helper()
	l := NewLane("p", 100)
	l.Up(&prompt{stream.Result{Result: handler.Result{Payload: []byte(`{"result":15}`)}}}, "v1", routes)
	r := request("7f3f0e3e-6f0c-4f8a-9c1e-0a6d8f2b4c11", time.Hour)
	ok := 0
	done := func(o Outcome) {
		if o.Status == wire.StatusOK {
			ok++
		}
	}
	return func() {
		before := ok
		l.Start(r, done)
		if ok != before+1 {
			t.Fatal("no outcome")
		}
	}
}

// TestLaneAllocates holds what docs/performance.md says of a lane.
func TestLaneAllocates(t *testing.T) {
	const most = 4 // the Job, its timer and that one's function, the try's function
	n := testing.AllocsPerRun(1000, dispatched(t))
	t.Logf("a request, from Start to its outcome: %v allocations", n)
	if n > most {
		t.Errorf("a request, from Start to its outcome: %v allocations, and docs/performance.md says %v", n, most)
	}
}

// BenchmarkLane is a lane without a plugin: from Start to the outcome.
func BenchmarkLane(b *testing.B) {
	start := dispatched(b)
	b.ReportAllocs()
	for b.Loop() {
		start()
	}
}
