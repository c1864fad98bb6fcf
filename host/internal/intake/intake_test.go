package intake

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/hashicorp/go-hclog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

// sarama's metrics keep one goroutine for the whole process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

func TestCommitsWhatIsSettledAndNoMore(t *testing.T) {
	b := newBroker(t, 1)
	b.produce(0, "a", "b", "c", "d")
	w := b.worker(10, time.Second, nil)
	w.untilBegun("a", "b", "c", "d")
	w.settle("a", "c", "d")
	b.untilCommitted(0, 1)
	if s := w.in.State().Partitions[0]; s.OldestOffset != 1 || s.InFlight != 1 || s.Lag != 3 {
		t.Errorf("state %+v, want offset 1 to hold a lag of 3", s)
	}
	w.settle("b")
	b.untilCommitted(0, 4)
}

// Requests of one partition that take all the slots they can get do not delay
// another partition's.
func TestSlowPartitionDoesNotDelayAnother(t *testing.T) {
	const concurrency = 8
	b := newBroker(t, 2)
	w := b.worker(concurrency, 10*time.Millisecond, func(v string) bool { return strings.HasPrefix(v, "quick") })
	var slow []string
	for i := range 10 * concurrency {
		slow = append(slow, fmt.Sprint("slow", i))
	}
	b.produce(0, slow...)
	w.untilBegun(slow[0], slow[1], slow[2], slow[3], slow[4])
	for i := range 50 {
		v := fmt.Sprint("quick", i)
		b.produce(1, v)
		w.untilBegun(v)
	}
	b.untilCommitted(1, 50)
	w.mu.Lock()
	held := len(w.held)
	w.mu.Unlock()
	if held > concurrency {
		t.Errorf("%d in flight, concurrency %d", held, concurrency)
	}
	if n := w.in.State().Partitions[0]; n.Waiting == 0 {
		t.Errorf("state %+v: the slow partition should have a backlog", n)
	}
}

// A ping is begun while requests have all slots. Its offset is committed with
// those before it; its end frees no slot. Beyond a few, pings wait like requests.
func TestPingNeedsNoSlot(t *testing.T) {
	b := newBroker(t, 1)
	w := b.worker(1, time.Second, nil)
	ping := func(value string) {
		t.Helper()
		r := &kgo.Record{Topic: "requests", Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "op", Value: []byte("ping")}}}
		if err := b.kgo.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	b.produce(0, "a", "b")
	ping("ping")
	w.untilBegun("a", "ping")
	w.settle("ping")
	ping("again")
	w.untilBegun("again")
	w.settle("again")
	if s := w.in.State().Partitions[0]; s.InFlight != 1 || s.Waiting != 1 {
		t.Errorf("%d in flight and %d waiting, want 1 and 1", s.InFlight, s.Waiting)
	}
	w.settle("a")
	w.untilBegun("b")
	b.untilCommitted(0, 1)
	w.settle("b")
	b.untilCommitted(0, 4)

	b.produce(0, "c")
	w.untilBegun("c")
	for i := range maxExtra + 1 {
		ping(fmt.Sprint("ping ", i))
	}
	w.untilBegun(fmt.Sprint("ping ", maxExtra-1))
	w.until("the last ping waits", func() bool { return w.in.State().Partitions[0].Waiting == 1 })
	w.settle("ping 0", "c")
	w.untilBegun(fmt.Sprint("ping ", maxExtra))
	w.settleAll()
	b.untilCommitted(0, 4+1+maxExtra+1)
}

// A full backlog pauses the partition; what was in it is taken in order later.
func TestPausesAndResumes(t *testing.T) {
	b := newBroker(t, 1)
	w := b.worker(1, time.Second, nil)
	const n = 3 * highWater
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprintf("%04d", i)
	}
	b.produce(0, values...)
	w.untilBegun(values[0])
	w.until("the partition is paused", func() bool { return pausedNow(w) })
	w.auto = nil
	for _, v := range values {
		w.untilBegun(v)
		w.settle(v)
	}
	b.untilCommitted(0, n)
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.Join(w.begun, " ") != strings.Join(values, " ") {
		t.Error("not begun in order, or not once each")
	}
}

// pausedNow looks past State, whose lock order is not the test's.
func pausedNow(w *worker) bool {
	w.in.mu.Lock()
	defer w.in.mu.Unlock()
	for _, c := range w.in.claims {
		if c.loud.Load() {
			return true
		}
	}
	return false
}

func TestShutdownDrainsAndCommits(t *testing.T) {
	b := newBroker(t, 1)
	b.produce(0, "a", "b")
	w := b.worker(10, 20*time.Second, nil)
	w.untilBegun("a", "b")
	w.settle("a")
	w.cancel()
	w.until("what runs is told", func() bool { return w.works["b"].revoked })
	w.settle("b") // it was let finish
	<-w.ended
	if got := b.committed(0); got != 2 {
		t.Errorf("committed %d after the end, want 2", got)
	}
}

// What does not finish in time is given up; its late result changes nothing, and
// the next owner gets it again.
func TestLateResultOfAnEndedClaim(t *testing.T) {
	b := newBroker(t, 1)
	b.produce(0, "a", "b")
	w := b.worker(10, time.Millisecond, nil)
	w.untilBegun("a", "b")
	w.settle("a")
	b.untilCommitted(0, 1)
	w.stop()
	if k := w.works["b"]; !k.revoked || !k.abandoned {
		t.Errorf("b was told %+v, want both", k)
	}
	if w.held["b"].Context().Err() == nil {
		t.Error("the claim has ended, and its context has not")
	}
	w.settle("b")
	if got := b.committed(0); got != 1 {
		t.Errorf("committed %d, want 1: b had no outcome", got)
	}
	next := b.worker(10, time.Second, nil)
	next.untilBegun("b")
	if !next.held["b"].Redelivered {
		t.Error("b is not marked redelivered")
	}
	b.produce(0, "c")
	next.untilBegun("c")
	if next.held["c"].Redelivered {
		t.Error("c is new, and marked redelivered")
	}
}

// What is dropped while the partition drains has no outcome: its offset is not
// committed, and the next owner gets it.
func TestDroppedIsNotCommitted(t *testing.T) {
	b := newBroker(t, 1)
	b.produce(0, "a", "b", "c")
	w := b.worker(10, 20*time.Second, nil)
	w.untilBegun("a", "b", "c")
	w.settle("a")
	w.cancel()
	w.until("what waits is told", func() bool { return w.works["b"].revoked && w.works["c"].revoked })
	w.mu.Lock()
	dropped := w.held["b"]
	delete(w.held, "b")
	w.mu.Unlock()
	dropped.Drop()
	w.settle("c")
	<-w.ended
	if got := b.committed(0); got != 1 {
		t.Errorf("committed %d, want 1: b has no outcome", got)
	}
	next := b.worker(10, time.Second, all)
	next.untilBegun("b", "c")
	b.untilCommitted(0, 3)
}

// A claim counts all that it keeps in memory.
func TestHeldBytesCountKeysAndHeaders(t *testing.T) {
	b := newBroker(t, 1)
	r := &kgo.Record{Topic: "requests", Key: make([]byte, 5000), Headers: []kgo.RecordHeader{{Key: "h", Value: make([]byte, 3000)}}}
	if err := b.kgo.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w := b.worker(10, time.Second, nil)
	w.untilBegun("")
	if held := w.in.State().HeldBytes; held < 8000 || held > 9000 {
		t.Errorf("%d bytes are held, want what key and header have", held)
	}
	w.settle("")
	w.stop()
	if held := w.in.State().HeldBytes; held != 0 {
		t.Errorf("%d bytes are held at the end", held)
	}
}

// A partition that is given away and comes back is consumed, also where it was
// paused when it went.
func TestPartitionComesBackAfterARebalance(t *testing.T) {
	b := newBroker(t, 2)
	w := b.worker(1, time.Millisecond, nil)
	values := make([]string, 2*highWater)
	for p := range int32(2) {
		for i := range values {
			values[i] = fmt.Sprintf("p%d-%04d", p, i)
		}
		b.produce(p, values...)
	}
	w.until("it is paused", func() bool { return pausedNow(w) })
	other := b.worker(1, time.Millisecond, all)
	other.until("it has got a partition", func() bool { return len(other.begun) > 10 })
	other.stop()
	w.mu.Lock()
	w.auto = all
	w.mu.Unlock()
	w.settleAll()
	b.untilCommitted(0, int64(len(values)))
	b.untilCommitted(1, int64(len(values)))
}

// Where the log no longer has the committed offset, the intake goes on at the
// oldest record and says so.
func TestCommittedOffsetIsGone(t *testing.T) {
	b := newBroker(t, 1)
	b.produce(0, "a", "b", "c")
	w := b.worker(10, time.Second, func(v string) bool { return v == "a" })
	w.untilBegun("a", "b", "c")
	b.untilCommitted(0, 1)
	w.mu.Lock()
	clear(w.held)
	w.mu.Unlock()
	w.cancel()
	trim := make(kadm.Offsets)
	trim.AddOffset("requests", 0, 2, -1)
	if _, err := b.adm.DeleteRecords(t.Context(), trim); err != nil {
		t.Fatal(err)
	}
	<-w.ended
	next := b.worker(10, time.Second, all)
	next.untilBegun("c")
	b.untilCommitted(0, 3)
	if got := next.begun; len(got) != 1 || got[0] != "c" {
		t.Errorf("begun %v, want c alone", got)
	}
	if log := next.log.String(); !strings.Contains(log, "requests before that are lost") {
		t.Errorf("the log does not say that requests are lost:\n%s", log)
	}
}

// A session is one with the partitions that are claimed.
type session struct {
	sarama.ConsumerGroupSession
	claims map[string][]int32
}

func (s session) Claims() map[string][]int32 { return s.claims }

// What a partition lost is told by the host that has it.
func TestLostPartitionThatHasMoved(t *testing.T) {
	in := New(Config{
		Topics: map[string]int{"requests": 1}, Logger: hclog.NewNullLogger(),
		Oldest: func(topic string, id int32) (int64, error) {
			t.Errorf("asked for %s/%d, which another host has", topic, id)
			return 0, nil
		},
	})
	in.lost[partition{"requests", 1}] = true
	if err := in.Setup(session{claims: map[string][]int32{"requests": {0}}}); err != nil {
		t.Error(err)
	}
}
