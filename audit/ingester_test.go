package audit

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"rrhost/audit/internal/sqlite"
	"rrhost/audit/internal/trail"
	"rrhost/config"
	"rrhost/internal/testservices"
	"rrhost/internal/wire"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// One for the process, started by sarama's meter of fetches.
		goleak.IgnoreAnyFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"),
		// sarama's circuit breakers sleep for 10 s after failures, then end.
		goleak.IgnoreAnyFunction("github.com/eapache/go-resiliency/breaker.(*Breaker).timer"),
	)
}

func TestIngestsExactlyTheLog(t *testing.T) {
	testservices.Long(t)
	b := newBench(t)
	var records []*kgo.Record
	ids := map[string]int{}
	for i := range 5000 {
		q, p, id := b.exchange(i)
		records = append(records, q, p)
		ids[id] = i
	}
	b.run()
	b.produce(records...)
	b.caughtUp(9)
	b.sameAsLog(b.stored(), records...)
	b.halt()

	// Once more, from the beginning: the store's positions make it nothing.
	b.run()
	q, p, id := b.exchange(1)
	b.produce(q, p)
	ids[id] = 1
	b.caughtUp(9)
	rows := b.stored()
	b.sameAsLog(rows, append(records, q, p)...)
	if n := b.in.Stats().Rows; n != 2 {
		t.Errorf("the second run stored %d rows, want 2", n)
	}

	// And each payload opens from its row alone.
	for _, r := range rows {
		plain, body, err := r.Open(b.ring)
		if err != nil {
			t.Fatalf("row %+v: %v", r, err)
		}
		i := ids[r.RequestID]
		switch {
		case r.Type == TypeResponse && i%10 == 9:
			if body == nil || body.Message != fmt.Sprintf("number %d is odd", i) || r.Success || r.Status != "handler_error" || r.Error != "handler_error" {
				t.Fatalf("response %d: %+v, %+v", i, body, r)
			}
		case string(plain) != fmt.Sprintf(`{"nonce":%d}`, i) || body != nil || !r.Success || r.Error != "":
			t.Fatalf("row %d: %q, %+v", i, plain, r)
		}
		if r.Type == TypeRequest && (r.Key == nil || r.SentMS == 0 || r.TimeoutMS != 30_000 || r.KeyID == "" || r.RequestTopic != "echo") {
			t.Fatalf("request row %+v", r)
		}
	}
}

func TestErrorTextPlain(t *testing.T) {
	b := newBench(t, func(c *config.Config) { c.Audit.ErrorText = "plain" })
	_, p, _ := b.exchange(9)
	b.produce(p)
	b.run()
	b.caughtUp(9)
	if rows := b.stored(); len(rows) != 1 || rows[0].Error != "number 9 is odd" {
		t.Errorf("rows = %+v", rows)
	}
}

func TestForeignRepliesAreLeftOut(t *testing.T) {
	b := newBench(t)
	q, p, _ := b.exchange(0)
	foreign := wire.Reply{Topic: "others", RequestID: uuid.NewString(), Status: wire.StatusOK, Payload: []byte("x")}
	f := record("rr.replies", 1, foreign.Headers(), foreign.Payload)
	b.run()
	b.produce(q, f, p)
	b.caughtUp(9)
	b.sameAsLog(b.stored(), q, p)
	if s := b.in.Stats(); s.Foreign != 1 {
		t.Errorf("stats = %+v", s)
	}
}

// A ping asks nothing of a handler: neither it nor its answer is in the trail.
func TestPingsAreLeftOut(t *testing.T) {
	b := newBench(t)
	q, p, _ := b.exchange(0)
	ping := wire.Request{Topic: "echo", ID: uuid.NewString(), Op: wire.OpPing, ReplyTo: "rr.replies", Timeout: time.Second, Sent: time.Now(), Payload: []byte("x")}
	pong := wire.Reply{Topic: "echo", RequestID: ping.ID, Op: wire.OpPing, Status: wire.StatusOK, Payload: []byte("x")}
	b.run()
	b.produce(record("echo", 0, ping.Headers(), ping.Payload), q, record("rr.replies", 1, pong.Headers(), pong.Payload), p)
	b.caughtUp(9)
	b.sameAsLog(b.stored(), q, p)
	if s := b.in.Stats(); s.Foreign != 2 {
		t.Errorf("stats = %+v", s)
	}
}

func TestPoisonIsStoredByItsPlace(t *testing.T) {
	b := newBench(t)
	bomb := &kgo.Record{Topic: "echo", Partition: 1}
	for range 10_000 {
		bomb.Headers = append(bomb.Headers, kgo.RecordHeader{Key: "x"})
	}
	q, p, id := b.exchange(0)
	twice := &kgo.Record{Topic: "echo", Partition: 2, Headers: append(slices.Clone(q.Headers), q.Headers[0]), Value: []byte("canary")}
	dead := wire.NewDeadLetter(&sarama.ConsumerMessage{Topic: "echo", Partition: 3, Offset: 7, Value: []byte("garbage canary"), Timestamp: time.Now()}, wire.StatusMalformed, 1<<20)
	value, _ := dead.Value.Encode()
	letter := record("echo.dlq", 0, dead.Headers, value)
	poison := []*kgo.Record{
		{Topic: "echo", Partition: 0, Value: []byte("garbage canary")},
		bomb, twice,
		{Topic: "echo", Partition: 3, Value: make([]byte, 900_000)},
		{Topic: "rr.replies", Partition: 0, Value: []byte("canary")},
		{Topic: "echo.dlq", Partition: 0, Value: []byte("canary")},
		letter,
	}
	b.run()
	b.produce(append(poison, q, p)...)
	b.caughtUp(9)
	rows := b.stored()
	b.sameAsLog(rows, append(poison, q, p)...)
	for _, r := range rows {
		if r.Topic == q.Topic && r.Partition == q.Partition && r.Offset == q.Offset || r.Topic == p.Topic && r.Partition == p.Partition && r.Offset == p.Offset {
			continue
		}
		if r.Status != "malformed" || r.Success || len(r.Payload) > 0 {
			t.Errorf("poison row %+v", r)
		}
	}
	reader := b.reader()
	found, err := reader.ByRequestID(t.Context(), id)
	if err != nil || len(found) != 3 { // request, response, and the one with its id twice
		t.Errorf("ByRequestID = %+v, %v", found, err)
	}
}

func (b *bench) reader() *Reader {
	b.Helper()
	r, err := Open(b.Context(), b.cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.Close() })
	return r
}

// A store that fails while told to, also after it has stored.
type failing struct {
	writer
	down  *atomic.Bool
	after *atomic.Bool
}

var errDown = errors.New("store is down")

func (f failing) Write(ctx context.Context, rows []trail.Row, positions []trail.Position) error {
	if f.after.Load() { // stored, and the answer is lost
		if err := f.writer.Write(ctx, rows, nil); err != nil {
			return err
		}
		return errDown
	}
	if f.down.Load() {
		return errDown
	}
	return f.writer.Write(ctx, rows, positions)
}

func (f failing) Positions(ctx context.Context) ([]trail.Position, error) {
	if f.down.Load() || f.after.Load() {
		return nil, errDown
	}
	return f.writer.Positions(ctx)
}

func TestStoreOutageThenCatchUp(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprintf("rows stored before the failure=%v", stored), func(t *testing.T) {
			b := newBench(t)
			var down, after atomic.Bool
			b.open = func(ctx context.Context) (writer, error) {
				w, err := sqlite.Open(ctx, filepath.Join(b.cfg.Dir, "data", "audit.db"), b.cfg.Audit.TTL)
				return failing{w, &down, &after}, err
			}
			b.run()
			var records []*kgo.Record
			send := func(n int) {
				for i := range n {
					q, p, _ := b.exchange(i)
					b.produce(q, p)
					records = append(records, q, p)
				}
			}
			send(50)
			b.caughtUp(9)
			if stored {
				after.Store(true)
			} else {
				down.Store(true)
			}
			send(50)
			b.eventually("the outage shows", func() bool { return errors.Is(b.in.Stats().LastError, errDown) })
			if b.in.Stats().FailingSince.IsZero() {
				t.Error("no time since when it fails")
			}
			send(50)
			down.Store(false)
			after.Store(false)
			b.caughtUp(9)
			b.sameAsLog(b.stored(), records...)
			if s := b.in.Stats(); s.LastError != nil || !s.FailingSince.IsZero() {
				t.Errorf("after the outage: %+v", s)
			}
		})
	}
}

// refusing is a store that can be read, and takes positions, but no rows: as one
// whose disk is full, or that finds a row too large.
type refusing struct{ writer }

func (r refusing) Write(ctx context.Context, rows []trail.Row, positions []trail.Position) error {
	if len(rows) > 0 {
		return errDown
	}
	return r.writer.Write(ctx, rows, positions)
}

// While no row is stored, that goes on to be one failure, however often the store
// is opened again: else nobody is told in time that Kafka will drop records.
func TestStoreThatRefusesRowsKeepsFailing(t *testing.T) {
	b := newBench(t)
	var sessions atomic.Int32
	b.open = func(ctx context.Context) (writer, error) {
		sessions.Add(1)
		w, err := sqlite.Open(ctx, filepath.Join(b.cfg.Dir, "data", "audit.db"), b.cfg.Audit.TTL)
		return refusing{w}, err
	}
	q, p, _ := b.exchange(0)
	b.produce(q, p)
	b.run()
	b.eventually("the failure shows", func() bool { return errors.Is(b.in.Stats().LastError, errDown) })
	since, first := b.in.Stats().FailingSince, sessions.Load()
	b.eventually("the store is tried again", func() bool {
		if s := b.in.Stats(); s.LastError == nil || !s.FailingSince.Equal(since) {
			t.Fatalf("failing since %v, %v; want since %v", s.FailingSince, s.LastError, since)
		}
		return sessions.Load() >= first+3
	})
}

func TestTrimmedLogBecomesAGap(t *testing.T) {
	b := newBench(t)
	send := func(n int) (records []*kgo.Record) {
		for range n {
			q, _, _ := b.exchange(0) // partition 0
			records = append(records, q)
		}
		b.produce(records...)
		return records
	}
	first := send(10)
	b.run()
	b.caughtUp(9)
	b.halt()
	lost := send(30)
	kept := send(5)
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: "echo", Partition: 0, At: kept[0].Offset})
	if _, err := kadm.NewClient(b.producer).DeleteRecords(t.Context(), offsets); err != nil {
		t.Fatal(err)
	}
	b.run()
	b.caughtUp(9)
	rows := b.stored()
	b.sameAsLog(rows, append(first, kept...)...)
	i := slices.IndexFunc(rows, func(r Row) bool { return r.Type == TypeGap })
	if i < 0 {
		t.Fatal("no gap row")
	}
	gap := rows[i]
	if gap.Topic != "echo" || gap.Partition != 0 || gap.Offset != lost[0].Offset || gap.GapEnd != kept[0].Offset || gap.Success {
		t.Errorf("gap = %+v, want offsets %d to %d", gap, lost[0].Offset, kept[0].Offset)
	}
	if b.in.Stats().Gaps != 1 {
		t.Errorf("stats = %+v", b.in.Stats())
	}
	b.halt()
	b.run() // the gap is written down once
	b.caughtUp(9)
	if b.in.Stats().Gaps != 0 || len(b.stored()) != len(rows) {
		t.Errorf("the gap again: %+v", b.in.Stats())
	}
}

func TestTopicMadeAnewIsReadFromItsStart(t *testing.T) {
	b := newBench(t)
	q1, _, _ := b.exchange(0)
	q2, _, _ := b.exchange(0)
	b.produce(q1, q2)
	b.run()
	b.caughtUp(9)
	b.halt()
	admin := kadm.NewClient(b.producer)
	if _, err := admin.DeleteTopics(t.Context(), "echo"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(t.Context(), 4, 1, nil, "echo"); err != nil {
		t.Fatal(err)
	}
	b.producer.PurgeTopicsFromProducing("echo")
	q3, _, id := b.exchange(0)
	b.eventuallyProduce(q3)
	b.run()
	b.caughtUp(9)
	if rows, err := b.reader().ByRequestID(t.Context(), id); err != nil || len(rows) != 1 {
		t.Errorf("rows of the new topic: %+v, %v", rows, err)
	}
	rows := b.stored()
	if !slices.ContainsFunc(rows, func(r Row) bool { return r.Type == TypeGap && r.Offset == 1 && r.GapEnd == 2 }) {
		t.Errorf("no row says that the log was cut: %+v", rows)
	}
}

func (b *bench) eventuallyProduce(r *kgo.Record) {
	b.Helper()
	for range 100 {
		c := *r
		if err := b.producer.ProduceSync(b.Context(), &c).FirstErr(); err == nil {
			return
		}
	}
	b.Fatal("cannot produce to the new topic")
}

func TestMissingTopicsAreWaitedFor(t *testing.T) {
	b := newBench(t, func(c *config.Config) { c.Topics = append(c.Topics, config.Topic{Name: "late"}) })
	b.run()
	b.caughtUp(9)
	if s := b.in.Stats(); !slices.Equal(s.MissingTopics, []string{"late", "late.dlq"}) {
		t.Errorf("missing = %v", s.MissingTopics)
	}
	reader := b.reader()
	b.eventually("the trail is complete without them", func() bool {
		until, err := reader.CompleteUntil(t.Context())
		return err == nil && time.Since(until) < time.Minute
	})
	if _, err := kadm.NewClient(b.producer).CreateTopics(t.Context(), 2, 1, nil, "late", "late.dlq"); err != nil {
		t.Fatal(err)
	}
	b.caughtUp(13)
}

func TestStopStoresWhatIsRead(t *testing.T) {
	b := newBench(t)
	b.run()
	b.caughtUp(9)
	var records []*kgo.Record
	for i := range 300 {
		q, p, _ := b.exchange(i)
		records = append(records, q, p)
	}
	b.produce(records...)
	b.eventually("some are read", func() bool { return b.in.Stats().Rows > 0 })
	b.halt()
	b.run()
	b.caughtUp(9)
	b.sameAsLog(b.stored(), records...)
}

func TestTwoIngestersShareTheLog(t *testing.T) {
	b := newBench(t)
	b.run()
	b.caughtUp(9)
	second, err := NewIngester(b.cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { second.Run(ctx) })
	var records []*kgo.Record
	for i := range 2000 {
		q, p, _ := b.exchange(i)
		records = append(records, q, p)
	}
	b.produce(records...)
	b.eventually("both have claims", func() bool {
		return len(b.in.Stats().Partitions) < 9 && len(second.Stats().Partitions) > 0
	})
	cancel()
	done.Wait()
	b.caughtUp(9)
	b.sameAsLog(b.stored(), records...)
}
