package kafka

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"rrhost/config"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// One for the process, started by sarama's meter of fetches.
		goleak.IgnoreAnyFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"),
		// sarama's circuit breakers sleep for 10 s after failures, then end.
		goleak.IgnoreAnyFunction("github.com/eapache/go-resiliency/breaker.(*Breaker).timer"),
	)
}

// broker starts a fake cluster that speaks the real protocol, and the
// configuration that reaches it.
func broker(t testing.TB, opts ...kfake.Opt) (*kfake.Cluster, config.Config) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, config.Config{Kafka: config.Kafka{Brokers: c.ListenAddrs()}}
}

func producer(t testing.TB, cfg config.Config) *Producer {
	t.Helper()
	p, err := NewProducer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return p
}

// results collects what done was called with, and fails on a second call for
// one message.
type results struct {
	t    testing.TB
	mu   sync.Mutex
	acks map[int]Ack
	errs map[int]error
	wait sync.WaitGroup
}

func newResults(t testing.TB) *results {
	return &results{t: t, acks: map[int]Ack{}, errs: map[int]error{}}
}

func (r *results) done(i int) func(Ack, error) {
	r.wait.Add(1)
	return func(a Ack, err error) {
		r.mu.Lock()
		if _, ok := r.acks[i]; ok {
			r.t.Errorf("done was called twice for message %d", i)
		}
		r.acks[i], r.errs[i] = a, err
		r.mu.Unlock()
		r.wait.Done()
	}
}

// all waits until done was called for every message.
func (r *results) all() {
	r.t.Helper()
	end := make(chan struct{})
	go func() { r.wait.Wait(); close(end) }()
	select {
	case <-end:
	case <-time.After(60 * time.Second):
		r.t.Fatal("done was not called for every message within a minute")
	}
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within 20 s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
