package client

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"rrhost/config"
	"rrhost/internal/envelope"
	"rrhost/internal/kafka"
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

const testTopic = "calculate"

// broker starts a fake cluster that speaks the real protocol, with a request
// topic and a reply topic, and the configuration that reaches it.
func broker(t testing.TB, opts ...kfake.Opt) (*kfake.Cluster, config.Config) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.SeedTopics(4, testTopic), kfake.SeedTopics(4, config.DefaultReplyTopic),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, config.Config{
		Kafka:      config.Kafka{Brokers: c.ListenAddrs()},
		Encryption: config.Encryption{Key: config.Secret(envelope.GenerateKey())},
	}
}

func open1(t testing.TB, cfg config.Config, opts ...Option) *Client {
	t.Helper()
	c, err := Open(t.Context(), cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return c
}

// host is the other end of the wire: it opens requests and answers as told,
// without the rest of a host.
type host struct {
	t        testing.TB
	ring     *envelope.Ring
	producer *kafka.Producer
	tails    []sarama.PartitionConsumer
	client   sarama.Client
	running  sync.WaitGroup
}

// request is what the host read.
type request struct {
	wire.Request
	plain []byte
	err   error // why it did not open
}

// serve answers each request of testTopic with answer's result; a nil reply is
// silence.
func serve(t testing.TB, cfg config.Config, answer func(h *host, q request)) *host {
	t.Helper()
	ring, err := cfg.Ring()
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, ring: ring}
	if h.producer, err = kafka.NewProducer(cfg); err != nil {
		t.Fatal(err)
	}
	c, brokers, err := kafka.Base(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Consumer.MaxWaitTime = 100 * time.Millisecond
	c.Consumer.Retry.Backoff = 50 * time.Millisecond
	if h.client, err = sarama.NewClient(brokers, c); err != nil {
		t.Fatal(err)
	}
	consumer, err := sarama.NewConsumerFromClient(h.client)
	if err != nil {
		t.Fatal(err)
	}
	partitions, err := consumer.Partitions(testTopic)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range partitions {
		pc, err := consumer.ConsumePartition(testTopic, part, sarama.OffsetOldest)
		if err != nil {
			t.Fatal(err)
		}
		h.tails = append(h.tails, pc)
		h.running.Go(func() {
			for m := range pc.Messages() {
				q := request{}
				if q.Request, q.err = wire.DecodeRequest(m); q.err == nil {
					q.plain, q.err = ring.Open(nil, q.Payload, q.AppendAbout(nil))
				}
				answer(h, q)
			}
		})
	}
	t.Cleanup(h.close)
	return h
}

func (h *host) close() {
	for _, pc := range h.tails {
		if err := pc.Close(); err != nil {
			h.t.Errorf("close: %v", err)
		}
	}
	h.running.Wait()
	if err := h.producer.Close(); err != nil {
		h.t.Errorf("close: %v", err)
	}
	_ = h.client.Close()
}

// reply is q's reply with status, sealed by ring.
func reply(ring *envelope.Ring, q request, status wire.Status, plain []byte) (*sarama.ProducerMessage, int32) {
	r := wire.Reply{
		Topic: q.Topic, RequestID: q.ID, Status: status, Key: q.Key,
		Attempt: 1, Duration: 3 * time.Millisecond, Plugin: "calculate v1",
	}
	if status.Authenticated() {
		r.Payload = ring.Seal(nil, plain, r.AppendAbout(nil))
	}
	return record(&r, q.ReplyTo), q.ReplyPartition
}

func record(r *wire.Reply, topic string) *sarama.ProducerMessage {
	m := &sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(r.Payload), Headers: r.Headers()}
	if r.Key != nil {
		m.Key = sarama.ByteEncoder(r.Key)
	}
	return m
}

// consumed is m as its reader gets it.
func consumed(t testing.TB, m *sarama.ProducerMessage) *sarama.ConsumerMessage {
	t.Helper()
	out := &sarama.ConsumerMessage{Topic: m.Topic, Partition: m.Partition}
	for i := range m.Headers {
		out.Headers = append(out.Headers, &m.Headers[i])
	}
	var err error
	if out.Value, err = m.Value.Encode(); err != nil {
		t.Fatal(err)
	}
	if m.Key != nil {
		if out.Key, err = m.Key.Encode(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// decoded is the request that m is.
func decoded(t testing.TB, m *sarama.ProducerMessage) wire.Request {
	t.Helper()
	q, err := wire.DecodeRequest(consumed(t, m))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// send produces a reply; h's producer waits for nothing.
func (h *host) send(m *sarama.ProducerMessage, partition int32) {
	h.producer.SendTo(partition, m, 0, func(_ kafka.Ack, err error) {
		if err != nil {
			h.t.Errorf("send a reply: %v", err)
		}
	})
}

func (h *host) answer(q request, status wire.Status, plain []byte) {
	h.send(reply(h.ring, q, status, plain))
}

// sums answers like the calculate plugin.
func sums(h *host, q request) {
	var in sum
	if err := json.Unmarshal(q.plain, &in); err != nil || q.err != nil {
		h.t.Errorf("request %s: %v %v", q.ID, err, q.err)
		return
	}
	out, _ := json.Marshal(total{in.A + in.B})
	h.answer(q, wire.StatusOK, out)
}

type sum struct {
	A int `json:"a"`
	B int `json:"b"`
}

type total struct {
	Result int `json:"result"`
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within 20 s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func mentions(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not mention %q", err, w)
		}
	}
}
