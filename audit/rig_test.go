package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"rrhost/config"
	"rrhost/internal/envelope"
	"rrhost/internal/wire"
)

// A bench is a broker in the test's process, a configuration for it, and an
// ingester on it that the test starts and stops.
type bench struct {
	*testing.T
	cluster  *kfake.Cluster
	producer *kgo.Client
	cfg      config.Config
	ring     *envelope.Ring

	open func(context.Context) (writer, error) // nil: the configured store
	in   *Ingester
	stop func()
}

func newBench(t *testing.T, edit ...func(*config.Config)) *bench {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "echo", "rr.replies"), kfake.SeedTopics(1, "echo.dlq"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	producer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	key := envelope.GenerateKey()
	cfg := config.Config{
		Kafka:      config.Kafka{Brokers: cluster.ListenAddrs(), Group: "workers"},
		Encryption: config.Encryption{Key: config.Secret(key)},
		Topics:     []config.Topic{{Name: "echo"}},
		Audit:      config.Audit{Store: "embedded"},
		Embedded:   config.EmbeddedBroker{Dir: "data"},
		Dir:        t.TempDir(),
	}
	for _, e := range edit {
		e(&cfg)
	}
	cfg = cfg.WithDefaults()
	parsed, err := envelope.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := envelope.NewRing(parsed)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, cluster: cluster, producer: producer, cfg: cfg, ring: ring}
	t.Cleanup(b.halt)
	return b
}

// run starts an ingester; halt stops it and waits.
func (b *bench) run() {
	b.Helper()
	in, err := NewIngester(b.cfg, hclog.New(&hclog.LoggerOptions{Output: testLog{b.T}, Level: hclog.Debug}))
	if err != nil {
		b.Fatal(err)
	}
	if b.open != nil {
		in.open = b.open
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	b.in = in
	b.stop = func() {
		cancel()
		if err := <-done; err != nil {
			b.Errorf("Run = %v", err)
		}
	}
}

func (b *bench) halt() {
	if b.stop != nil {
		b.stop()
		b.stop = nil
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", p[:max(len(p)-1, 0)])
	return len(p), nil
}

// produce writes records and waits for their acknowledgement.
func (b *bench) produce(records ...*kgo.Record) {
	b.Helper()
	for chunk := range slices.Chunk(records, 1000) {
		if err := b.producer.ProduceSync(b.Context(), chunk...).FirstErr(); err != nil {
			b.Fatal(err)
		}
	}
}

// exchange makes a request and its reply.
func (b *bench) exchange(i int) (request, reply *kgo.Record, id string) {
	b.Helper()
	q := wire.Request{
		Topic: "echo", ID: uuid.NewString(), ReplyTo: "rr.replies", ReplyPartition: int32(i % 4), Timeout: 30 * time.Second,
		Sent: time.Now().Truncate(time.Millisecond), Key: []byte{},
	}
	q.Payload = b.ring.Seal(nil, fmt.Appendf(nil, `{"nonce":%d}`, i), q.AppendAbout(nil))
	p := wire.Reply{Topic: "echo", RequestID: q.ID, Status: wire.StatusOK, Attempt: 1, Duration: 3 * time.Millisecond, Plugin: "echo 1.0"}
	if i%10 == 9 {
		p.Status = wire.StatusHandlerError
		p.Payload = b.ring.Seal(nil, []byte(`{"code":"odd","message":"number `+fmt.Sprint(i)+` is odd"}`), p.AppendAbout(nil))
	} else {
		p.Payload = b.ring.Seal(nil, fmt.Appendf(nil, `{"nonce":%d}`, i), p.AppendAbout(nil))
	}
	request = record("echo", int32(i%4), q.Headers(), q.Payload)
	request.Key = q.Key
	return request, record("rr.replies", q.ReplyPartition, p.Headers(), p.Payload), q.ID
}

func record(topic string, partition int32, headers []sarama.RecordHeader, value []byte) *kgo.Record {
	r := &kgo.Record{Topic: topic, Partition: partition, Value: value}
	for _, h := range headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(h.Key), Value: h.Value})
	}
	return r
}

// eventually waits until ok.
func (b *bench) eventually(what string, ok func() bool) {
	b.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(60 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			b.Fatalf("not within a minute: %s; %+v", what, b.in.Stats())
		}
	}
}

// caughtUp waits until all partitions are claimed and stored to their end.
func (b *bench) caughtUp(partitions int) {
	b.Helper()
	from := time.Now()
	b.eventually("the log is stored", func() bool {
		s := b.in.Stats()
		if len(s.Partitions) != partitions {
			return false
		}
		for _, p := range s.Partitions {
			if p.Lag() > 0 || p.CompleteUntil.Before(from.Add(-clockMargin)) {
				return false
			}
		}
		return true
	})
}

// stored are all rows of the trail, by a reader of its own.
func (b *bench) stored() []Row {
	b.Helper()
	r, err := Open(b.Context(), b.cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	var rows []Row
	q := Range{Oldest: true, Limit: 1000, Payloads: true, To: time.Now().Add(2 * time.Hour)}
	for {
		page, err := r.ByTime(b.Context(), q)
		if err != nil {
			b.Fatal(err)
		}
		rows = append(rows, page.Rows...)
		if page.Cursor == "" {
			return rows
		}
		q.Cursor = page.Cursor
	}
}

// sameAsLog compares the trail's coordinates with those of records, one by one.
func (b *bench) sameAsLog(rows []Row, records ...*kgo.Record) {
	b.Helper()
	type at struct {
		topic     string
		partition int32
		offset    int64
	}
	want := map[at]int{}
	for _, r := range records {
		want[at{r.Topic, r.Partition, r.Offset}]++
	}
	got := map[at]int{}
	for _, r := range rows {
		if r.Type != TypeGap {
			got[at{r.Topic, r.Partition, r.Offset}]++
		}
	}
	if !maps.Equal(got, want) {
		for a, n := range want {
			if got[a] != n {
				b.Errorf("%v: %d rows, want %d", a, got[a], n)
			}
		}
		for a, n := range got {
			if want[a] == 0 {
				b.Errorf("%v: %d rows, want none", a, n)
			}
		}
		b.Fatalf("trail has %d rows, log %d records", len(rows), len(records))
	}
}
