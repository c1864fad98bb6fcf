package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rrhost/config"
)

func message(topic string, key, value []byte) *sarama.ProducerMessage {
	m := &sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(value)}
	if key != nil {
		m.Key = sarama.ByteEncoder(key)
	}
	return m
}

// read returns the records of a partition from its start to its end now.
func read(t testing.TB, cfg config.Config, topic string, partition int32) []*sarama.ConsumerMessage {
	t.Helper()
	c, brokers, err := Base(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Consumer.MaxWaitTime = 100 * time.Millisecond
	client, err := sarama.NewClient(brokers, c)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	newest, err := client.GetOffset(topic, partition, sarama.OffsetNewest)
	if err != nil {
		t.Fatal(err)
	}
	oldest, err := client.GetOffset(topic, partition, sarama.OffsetOldest)
	if err != nil || oldest == newest {
		return nil
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	pc, err := consumer.ConsumePartition(topic, partition, oldest)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	var all []*sarama.ConsumerMessage
	for m := range pc.Messages() {
		if all = append(all, m); m.Offset == newest-1 {
			break
		}
	}
	return all
}

func TestProducerAcknowledges(t *testing.T) {
	_, cfg := broker(t, kfake.SeedTopics(3, "t"))
	p := producer(t, cfg)
	r := newResults(t)
	start := time.Now()
	for i := range 300 {
		p.Send(message("t", nil, []byte("v")), i, r.done(i)) // few and many
	}
	r.all()
	perPartition := map[int32]int{}
	offsets := map[string]bool{}
	for i, a := range r.acks {
		if r.errs[i] != nil {
			t.Fatalf("message %d: %v", i, r.errs[i])
		}
		perPartition[a.Partition]++
		offsets[fmt.Sprint(a.Partition, a.Offset)] = true
		if a.Sent.Before(start) || a.Acked.Before(a.Sent) || !a.Broker.IsZero() {
			t.Errorf("ack %+v: times out of order, or a broker's time from a CreateTime topic", a)
		}
	}
	if len(offsets) != 300 {
		t.Errorf("%d distinct places, want 300", len(offsets))
	}
	for part := range int32(3) {
		if n := perPartition[part]; n < 80 || n > 120 {
			t.Errorf("partition %d got %d of 300 messages without key", part, n)
		}
	}
}

// The broker's time comes only with LogAppendTime. The fake does not know it,
// so its answer is given here.
func TestProducerBrokerTime(t *testing.T) {
	c, cfg := broker(t, kfake.SeedTopics(1, "t"))
	p := producer(t, cfg)
	want := time.UnixMilli(time.Now().UnixMilli() - 12345)
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		resp.Topics = []kmsg.ProduceResponseTopic{{Topic: "t", Partitions: []kmsg.ProduceResponseTopicPartition{{
			BaseOffset: 7, LogAppendTime: want.UnixMilli(),
		}}}}
		return resp, nil, true
	})
	r := newResults(t)
	p.Send(message("t", nil, []byte("v")), 0, r.done(0))
	r.all()
	if a := r.acks[0]; !a.Broker.Equal(want) || a.Offset != 7 || r.errs[0] != nil {
		t.Errorf("ack = %+v, %v; want the broker's time %v at offset 7", a, r.errs[0], want)
	}
}

func TestProducerKeepsKeyedInOrder(t *testing.T) {
	_, cfg := broker(t, kfake.SeedTopics(4, "t"))
	p := producer(t, cfg)
	r := newResults(t)
	for i := range 400 {
		p.Send(message("t", []byte("one key"), fmt.Append(nil, i)), i%40, r.done(i))
	}
	r.all()
	where := r.acks[0].Partition
	records := read(t, cfg, "t", where)
	if len(records) != 400 {
		t.Fatalf("%d records in partition %d, want 400", len(records), where)
	}
	for i, m := range records {
		if string(m.Value) != fmt.Sprint(i) {
			t.Fatalf("record %d is message %s", i, m.Value)
		}
	}
}

func TestProducerSendTo(t *testing.T) {
	_, cfg := broker(t, kfake.SeedTopics(8, "t"))
	p := producer(t, cfg)
	r := newResults(t)
	for i := range 16 {
		var key []byte
		if i%2 == 0 {
			key = []byte("k") // whose own partition would be another
		}
		p.SendTo(int32(i%8), message("t", key, []byte("v")), i*2, r.done(i))
	}
	p.SendTo(8, message("t", nil, []byte("v")), 0, r.done(16))
	r.all()
	for i := range 16 {
		if r.errs[i] != nil || r.acks[i].Partition != int32(i%8) {
			t.Errorf("message %d: partition %d, %v; want %d", i, r.acks[i].Partition, r.errs[i], i%8)
		}
	}
	if !errors.Is(r.errs[16], sarama.ErrInvalidPartition) {
		t.Errorf("partition 8 of 8: %v, want ErrInvalidPartition", r.errs[16])
	}
}

// A batch over the topic's limit is refused as a whole. Only the message that
// is too large by itself may fail for it.
func TestProducerRefusedBatch(t *testing.T) {
	c, cfg := broker(t)
	if err := c.CreateTopic("t", 1, map[string]string{"max.message.bytes": "3000"}); err != nil {
		t.Fatal(err)
	}
	p := producer(t, cfg)
	r := newResults(t)
	for i := range 100 {
		size := 500
		if i == 50 {
			size = 5000
		}
		p.Send(message("t", nil, bytes.Repeat([]byte{'x'}, size)), 100, r.done(i))
	}
	r.all()
	for i := range 100 {
		switch {
		case i == 50 && !errors.Is(r.errs[i], ErrTooLarge):
			t.Errorf("the culprit: %v, want ErrTooLarge", r.errs[i])
		case i != 50 && r.errs[i] != nil:
			t.Errorf("message %d: %v", i, r.errs[i])
		}
	}
	if n := len(read(t, cfg, "t", 0)); n != 99 {
		t.Errorf("%d records written, want 99", n)
	}
}

// Whoever is told of a failure may send something else in its place, as a host
// does for a reply that is too large, however many fail at once.
func TestProducerSendsFromDone(t *testing.T) {
	_, cfg := broker(t, kfake.SeedTopics(1, "t"))
	p := producer(t, cfg)
	r := newResults(t)
	huge := make([]byte, MaxRecord(cfg)+1)
	for i := range 5000 {
		done := r.done(i)
		p.Send(message("t", nil, huge), i%40, func(_ Ack, err error) {
			if !errors.Is(err, ErrTooLarge) {
				t.Errorf("message %d: %v, want ErrTooLarge", i, err)
			}
			p.Send(message("t", nil, []byte("too large")), i%40, done)
		})
	}
	r.all()
	for i, err := range r.errs {
		if err != nil {
			t.Errorf("instead of message %d: %v", i, err)
		}
	}
}

func TestProducerTooLargeForUs(t *testing.T) {
	_, cfg := broker(t, kfake.SeedTopics(1, "t"))
	p := producer(t, cfg)
	r := newResults(t)
	p.Send(message("t", nil, make([]byte, MaxRecord(cfg)+1)), 0, r.done(0))
	p.Send(message("t", nil, make([]byte, MaxRecord(cfg)-1000)), 0, r.done(1))
	r.all()
	if !errors.Is(r.errs[0], ErrTooLarge) || r.errs[1] != nil {
		t.Errorf("above the limit: %v, want ErrTooLarge; below: %v", r.errs[0], r.errs[1])
	}
}

func TestProducerUnknownTopic(t *testing.T) {
	_, cfg := broker(t, kfake.SeedTopics(1, "t"))
	p := producer(t, cfg)
	r := newResults(t)
	for i := range 6 { // more than sarama tries before it looks away for a while
		p.Send(message("nowhere", nil, []byte("v")), 0, r.done(i))
	}
	p.Send(message("t", nil, []byte("v")), 0, r.done(6))
	r.all()
	for i := range 6 {
		if !errors.Is(r.errs[i], ErrNoTopic) || !strings.Contains(r.errs[i].Error(), "nowhere") {
			t.Errorf("message %d: %v, want that topic nowhere does not exist", i, r.errs[i])
		}
	}
	if r.errs[6] != nil {
		t.Errorf("another topic: %v", r.errs[6])
	}
}

// What a broker answers during a leader election passes.
func TestProducerOutlivesElections(t *testing.T) {
	c, cfg := broker(t, kfake.NumBrokers(3), kfake.SeedTopics(3, "t"))
	p := producer(t, cfg)
	r := newResults(t)
	send := func(from int) {
		for i := from; i < from+50; i++ {
			p.Send(message("t", nil, []byte("v")), i%40, r.done(i))
		}
	}
	send(0)
	c.ShufflePartitionLeaders()
	send(50)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Err: kerr.NotLeaderForPartition, Count: 4})
	send(100)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Err: kerr.NotEnoughReplicas, Count: 16})
	send(150)
	r.all()
	for i, err := range r.errs {
		if err != nil {
			t.Errorf("message %d: %v", i, err)
		}
	}
}

func TestProducerClose(t *testing.T) {
	_, cfg := broker(t, kfake.SeedTopics(2, "t"))
	p, err := NewProducer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := newResults(t)
	var senders sync.WaitGroup
	for s := range 4 {
		senders.Go(func() {
			for i := range 500 {
				p.Send(message("t", nil, []byte("v")), i%40, r.done(s*500+i))
			}
		})
	}
	var closers sync.WaitGroup
	for range 2 {
		closers.Go(func() {
			if err := p.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		})
	}
	closers.Wait()
	senders.Wait()
	r.all()
	sent := 0
	for i, err := range r.errs {
		switch {
		case err == nil:
			sent++
		case !errors.Is(err, ErrProducerClosed):
			t.Errorf("message %d: %v, want nil or ErrProducerClosed", i, err)
		}
	}
	if n := len(read(t, cfg, "t", 0)) + len(read(t, cfg, "t", 1)); n != sent {
		t.Errorf("%d records written, %d acknowledged", n, sent)
	}
	p.Send(message("t", nil, nil), 0, r.done(-1))
	r.all()
	if !errors.Is(r.errs[-1], ErrProducerClosed) {
		t.Errorf("after Close: %v", r.errs[-1])
	}
}

// A broker that is gone holds Close up for no longer than a try.
func TestProducerCloseWithoutBroker(t *testing.T) {
	c, cfg := broker(t, kfake.SeedTopics(1, "t"))
	p, err := NewProducer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := newResults(t)
	p.Send(message("t", nil, []byte("v")), 0, r.done(0))
	r.all()
	c.Close()
	for i := 1; i < 50; i++ {
		p.Send(message("t", nil, []byte("v")), i, r.done(i))
	}
	start := time.Now()
	if err := p.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Close took %v", took)
	}
	r.all()
	for i := 1; i < 50; i++ {
		if r.errs[i] == nil {
			t.Errorf("message %d was acknowledged by a broker that is gone", i)
		}
	}
}

func TestPartitionerLikeJava(t *testing.T) {
	// murmur2 values of the Java client's own tests (UtilsTest).
	vectors := map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
		"":    275646681,
	}
	p := newPartitioner("t")
	for key, hash := range vectors {
		for _, n := range []int32{1, 3, 16, 1000} {
			want := (hash & 0x7fffffff) % n
			got, err := p.Partition(message("t", []byte(key), nil), n)
			if err != nil || got != want {
				t.Errorf("key %q of %d partitions: %d, %v; want %d", key, n, got, err, want)
			}
		}
	}
}
