package reply

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/hashicorp/go-hclog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"rrhost/config"
	"rrhost/host/internal/dispatch"
	"rrhost/internal/envelope"
	"rrhost/internal/kafka"
	"rrhost/internal/wire"
)

// sarama's metrics keep one goroutine for the whole process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

const requestID = "5b2f0c1e-4a37-4f0e-9d2b-0f6f3d6c1a11"

type bench struct {
	t       *testing.T
	cluster *kfake.Cluster
	ring    *envelope.Ring
	writer  *Writer
}

func setup(t *testing.T, maxPayload int) *bench {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "replies", "calculate.dlq"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cfg := config.Config{Kafka: config.Kafka{Brokers: cluster.ListenAddrs()}}.WithDefaults()
	producer, err := kafka.NewProducer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	key, err := envelope.ParseKey(envelope.GenerateKey())
	if err != nil {
		t.Fatal(err)
	}
	ring, err := envelope.NewRing(key)
	if err != nil {
		t.Fatal(err)
	}
	w := New(Config{
		Producer: producer, Ring: ring, Topics: []string{"replies"}, MaxPayload: maxPayload,
		MaxRecord: kafka.MaxRecord(cfg), Logger: hclog.NewNullLogger(),
	})
	t.Cleanup(func() {
		w.Wait()
		if err := producer.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{t, cluster, ring, w}
}

// next is the next record of a topic, as the requester or an operator reads it.
func (b *bench) next(topic string) *sarama.ConsumerMessage {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.cluster.ListenAddrs()...), kgo.ConsumeTopics(topic))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	records := client.PollRecords(ctx, 1).Records()
	if len(records) == 0 {
		b.t.Fatalf("no record in %s", topic)
	}
	r := records[0]
	m := &sarama.ConsumerMessage{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, &sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
	}
	return m
}

// open decodes a reply and opens it as its requester would.
func (b *bench) open() (wire.Reply, []byte, int32) {
	b.t.Helper()
	m := b.next("replies")
	r, err := wire.DecodeReply(m)
	if err != nil {
		b.t.Fatal(err)
	}
	body, err := b.ring.Open(nil, r.Payload, r.AppendAbout(nil))
	if err != nil {
		b.t.Fatalf("open %+v: %v", r, err)
	}
	return r, body, m.Partition
}

func req() *wire.Request {
	return &wire.Request{Topic: "calculate", ID: requestID, ReplyTo: "replies", ReplyPartition: 2, Timeout: time.Second, Traceparent: "00-a-b-01"}
}

func (b *bench) reply(r *wire.Request, o dispatch.Outcome) wire.Status {
	b.t.Helper()
	type end struct {
		status wire.Status
		err    error
	}
	done := make(chan end, 1)
	b.writer.Reply(b.t.Context(), r, o, 1, func(s wire.Status, err error) { done <- end{s, err} })
	e := <-done
	if e.err != nil {
		b.t.Fatal(e.err)
	}
	return e.status
}

func TestReply(t *testing.T) {
	b := setup(t, 1000)
	b.reply(req(), dispatch.Outcome{Status: wire.StatusOK, Payload: []byte(`{"result":15}`), Attempt: 2, Duration: 7 * time.Millisecond, Plugin: "calculate v1"})
	r, body, partition := b.open()
	if string(body) != `{"result":15}` || partition != 2 {
		t.Errorf("body %s in partition %d", body, partition)
	}
	if r.RequestID != requestID || r.Topic != "calculate" || r.Status != wire.StatusOK || r.Attempt != 2 ||
		r.Duration != 7*time.Millisecond || r.Plugin != "calculate v1" || r.Traceparent != "00-a-b-01" {
		t.Errorf("reply %+v", r)
	}
}

func TestReplyNobodyWaitsFor(t *testing.T) {
	b := setup(t, 1000)
	r := req()
	r.ReplyTo, r.ReplyPartition = "", 0
	b.reply(r, dispatch.Outcome{Status: wire.StatusOK, Payload: []byte(`1`)})
	if _, body, _ := b.open(); string(body) != "1" {
		t.Errorf("body %s", body)
	}
}

func TestErrorReplies(t *testing.T) {
	long := strings.Repeat("x", 5000)
	tests := []struct {
		name       string
		maxPayload int
		outcome    dispatch.Outcome
		status     wire.Status
		body       string
	}{
		{"an error of the handler", 1000, dispatch.Outcome{Status: wire.StatusHandlerError, Error: wire.ErrorBody{Code: "c", Message: "m", Details: json.RawMessage(`[1]`)}},
			wire.StatusHandlerError, `{"code":"c","message":"m","details":[1]}`},
		{"a response that is too large", 1000, dispatch.Outcome{Status: wire.StatusOK, Payload: []byte(long)},
			wire.StatusReplyTooLarge, `{"code":"reply_too_large","message":"the response has 5000 bytes; max_payload is 1000"}`},
		{"details that are too large", 1000, dispatch.Outcome{Status: wire.StatusHandlerError, Error: wire.ErrorBody{Code: "c", Message: "m", Details: json.RawMessage(`"` + long + `"`)}},
			wire.StatusHandlerError, `{"code":"c","message":"m"}`},
		{"a response over the producer's limit", 5_000_000, dispatch.Outcome{Status: wire.StatusOK, Payload: make([]byte, 3_000_000)},
			wire.StatusReplyTooLarge, `{"code":"reply_too_large","message":"the reply is larger than its topic takes"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := setup(t, tt.maxPayload)
			if got := b.reply(req(), tt.outcome); got != tt.status {
				t.Errorf("replied %s, want %s", got, tt.status)
			}
			r, body, _ := b.open()
			if r.Status != tt.status || string(body) != tt.body {
				t.Errorf("%s %s, want %s %s", r.Status, body, tt.status, tt.body)
			}
		})
	}
}

func TestUnsealedRepliesAreFew(t *testing.T) {
	b := setup(t, 1000)
	var sent atomic.Int32
	done := make(chan struct{}, 1000)
	for range 1000 {
		b.writer.Unsealed(t.Context(), req(), wire.StatusUndecryptable, func(bool, error) { done <- struct{}{} })
	}
	for range 1000 {
		<-done
	}
	m := b.next("replies")
	if r, err := wire.DecodeReply(m); err != nil || r.Status != wire.StatusUndecryptable || len(r.Payload) != 0 {
		t.Errorf("reply %+v, %v", r, err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.cluster.ListenAddrs()...), kgo.ConsumeTopics("replies"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.PollFetches(t.Context()).EachRecord(func(*kgo.Record) { sent.Add(1) })
	if n := sent.Load(); n < 1 || n > 20 { // ten, and what a second more allows
		t.Errorf("%d of 1000 were sent, want about 10", n)
	}
}

func TestDeadLetter(t *testing.T) {
	b := setup(t, 1000)
	m := &sarama.ConsumerMessage{Topic: "calculate", Partition: 3, Offset: 42, Value: []byte("garbage"), Timestamp: time.UnixMilli(1_700_000_000_000)}
	done := make(chan error, 1)
	b.writer.DeadLetter(t.Context(), m, wire.StatusMalformed, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	d, err := wire.DeadLetterOf(b.next("calculate.dlq"))
	if err != nil || d.Reason != wire.StatusMalformed || d.Partition != 3 || d.Offset != 42 || string(d.Value) != "garbage" {
		t.Errorf("dead letter %+v, %v", d, err)
	}
}

// A topic that refuses is tried again, named while it does, and then forgotten.
func TestRefusedTopicIsTriedAgain(t *testing.T) {
	b := setup(t, 1000)
	var refusals atomic.Int32
	b.cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		if refusals.Add(1) > 2 {
			return nil, nil, false
		}
		produce := r.(*kmsg.ProduceRequest)
		resp := produce.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range produce.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, kerr.TopicAuthorizationFailed.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	done := make(chan error, 1)
	b.writer.Reply(t.Context(), req(), dispatch.Outcome{Status: wire.StatusOK, Payload: []byte(`1`)}, 1, func(_ wire.Status, err error) { done <- err })
	deadline := time.After(20 * time.Second)
	for tick := time.NewTicker(time.Millisecond); len(b.writer.Refusals()) == 0; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the refusing topic is not named")
		}
	}
	if why := b.writer.Refusals()["replies"]; !strings.Contains(why, "authoriz") {
		t.Errorf("refusal %q does not say why", why)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if r := b.writer.Refusals(); len(r) != 0 {
		t.Errorf("still refused: %v", r)
	}
	b.open()
}

// What its claim no longer wants is given up, with the reason.
func TestRefusedTopicIsGivenUpWithTheClaim(t *testing.T) {
	b := setup(t, 1000)
	b.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		return nil, errors.New("gone"), true
	})
	ended := errors.New("the claim ended")
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	b.writer.Reply(ctx, req(), dispatch.Outcome{Status: wire.StatusOK, Payload: []byte(`1`)}, 1, func(_ wire.Status, err error) { done <- err })
	cancel(ended)
	select {
	case err := <-done:
		if !errors.Is(err, ended) {
			t.Errorf("err = %v, want the claim's end", err)
		}
	case <-time.After(60 * time.Second):
		t.Error("it is not given up")
	}
}
