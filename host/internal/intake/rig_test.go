package intake

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/hashicorp/go-hclog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"rrhost/config"
	"rrhost/internal/kafka"
)

// A broker speaks the real protocol, in this process.
type broker struct {
	t     *testing.T
	addrs []string
	kgo   *kgo.Client
	adm   *kadm.Client
}

func newBroker(t *testing.T, partitions int32) *broker {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "requests"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &broker{t, cluster.ListenAddrs(), client, kadm.NewClient(client)}
}

func (b *broker) produce(partition int32, values ...string) {
	b.t.Helper()
	for _, v := range values {
		r := &kgo.Record{Topic: "requests", Partition: partition, Value: []byte(v)}
		if err := b.kgo.ProduceSync(b.t.Context(), r).FirstErr(); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *broker) committed(partition int32) int64 {
	b.t.Helper()
	offsets, err := b.adm.FetchOffsets(b.t.Context(), "workers")
	if err != nil {
		b.t.Fatal(err)
	}
	o, ok := offsets.Lookup("requests", partition)
	if !ok {
		return -1
	}
	return o.At
}

// A worker is an intake whose messages the test settles.
type worker struct {
	t      *testing.T
	in     *Intake
	cancel context.CancelFunc
	ended  chan struct{}
	log    syncBuffer

	mu     sync.Mutex // guards all below
	held   map[string]*Message
	works  map[string]*work
	auto   func(value string) bool // settle at once
	begun  []string
	change chan struct{} // closed at the next change
}

type work struct {
	w                  *worker
	revoked, abandoned bool
}

func (k *work) Revoke()  { k.w.note(func() { k.revoked = true }) }
func (k *work) Abandon() { k.w.note(func() { k.abandoned = true }) }

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (b *broker) worker(concurrency int, drain time.Duration, auto func(string) bool) *worker {
	b.t.Helper()
	cfg := config.Config{Kafka: config.Kafka{Brokers: b.addrs}}.WithDefaults()
	group, client, err := kafka.NewGroup(cfg, "workers", func(c *sarama.Config) {
		c.Consumer.Group.Heartbeat.Interval = 100 * time.Millisecond
		c.Consumer.Offsets.AutoCommit.Interval = 20 * time.Millisecond
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &worker{
		t: b.t, cancel: cancel, ended: make(chan struct{}), auto: auto,
		held: map[string]*Message{}, works: map[string]*work{}, change: make(chan struct{}),
	}
	w.in = New(Config{
		Group: group, Topics: map[string]int{"requests": concurrency}, MaxBytes: 1 << 20, DrainTimeout: drain,
		Oldest: func(topic string, partition int32) (int64, error) {
			return client.GetOffset(topic, partition, sarama.OffsetOldest)
		},
		Start:  w.start,
		Logger: hclog.New(&hclog.LoggerOptions{Output: &w.log, Level: hclog.Debug}),
	})
	go func() {
		defer close(w.ended)
		if err := w.in.Run(ctx); err != nil {
			b.t.Errorf("Run: %v", err)
		}
		if err := group.Close(); err != nil {
			b.t.Errorf("close group: %v", err)
		}
		if err := client.Close(); err != nil {
			b.t.Errorf("close client: %v", err)
		}
	}()
	b.t.Cleanup(func() { w.settleAll(); w.stop() })
	return w
}

func (w *worker) stop() {
	w.cancel()
	<-w.ended
}

func (w *worker) note(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.change)
	w.change = make(chan struct{})
}

func (w *worker) start(m *Message) Work {
	v, k := string(m.Value), &work{w: w}
	settle := w.auto != nil && w.auto(v)
	w.note(func() {
		w.begun = append(w.begun, v)
		w.works[v] = k
		if !settle {
			w.held[v] = m
		}
	})
	if settle {
		m.Settle()
	}
	return k
}

// until waits for a condition on what the worker has seen, or on the intake's
// state, of whose changes nobody is told.
func (w *worker) until(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		w.mu.Lock()
		done, change := ok(), w.change
		w.mu.Unlock()
		if done {
			return
		}
		select {
		case <-change:
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			w.t.Fatalf("waited in vain until %s; begun %v\n%s", what, w.begun, w.log.String())
		}
	}
}

func (w *worker) untilBegun(values ...string) {
	w.t.Helper()
	w.until(fmt.Sprintf("%v are begun", values), func() bool {
		for _, v := range values {
			if w.works[v] == nil {
				return false
			}
		}
		return true
	})
}

func (w *worker) settle(values ...string) {
	for _, v := range values {
		w.mu.Lock()
		m := w.held[v]
		delete(w.held, v)
		w.mu.Unlock()
		m.Settle()
	}
}

func (w *worker) settleAll() {
	w.mu.Lock()
	var values []string
	for v := range w.held {
		values = append(values, v)
	}
	w.mu.Unlock()
	w.settle(values...)
}

// untilCommitted polls what the broker has, from outside.
func (b *broker) untilCommitted(partition int32, want int64) {
	b.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		got := b.committed(partition)
		if got == want {
			tick.Stop()
			return
		}
		if got > want || time.Now().After(deadline) {
			b.t.Fatalf("committed %d, want %d", got, want)
		}
	}
}

func all(string) bool { return true }
