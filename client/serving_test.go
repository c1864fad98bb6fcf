package client

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rrhost/config"
	"rrhost/internal/discovery"
	"rrhost/internal/kafka"
	"rrhost/internal/testservices"
	"rrhost/internal/wire"
)

// announce announces topics as a host does.
func announce(t *testing.T, h *host, topics ...string) {
	t.Helper()
	a := discovery.Announcement{Host: uuid.NewString()}
	for _, name := range topics {
		a.Topics = append(a.Topics, discovery.Topic{Name: name})
	}
	value, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	m := &sarama.ProducerMessage{Topic: config.DefaultControlTopic, Key: sarama.StringEncoder(a.Host), Value: sarama.ByteEncoder(value)}
	h.producer.SendTo(0, m, 0, func(_ kafka.Ack, err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// announceAt announces a topic as of a time.
func announceAt(t *testing.T, cfg config.Config, at time.Time, topic string) {
	t.Helper()
	a := discovery.Announcement{Host: uuid.NewString(), Topics: []discovery.Topic{{Name: topic}}}
	value, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	k, err := kgo.NewClient(kgo.SeedBrokers(cfg.Kafka.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	r := &kgo.Record{Topic: config.DefaultControlTopic, Key: []byte(a.Host), Value: value, Timestamp: at}
	if err := k.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// With fail-fast, a call to what nobody has announced is not sent; one to what is
// announced later is.
func TestFailFast(t *testing.T) {
	_, cfg := broker(t, kfake.SeedTopics(1, config.DefaultControlTopic), kfake.SeedTopics(1, "deserted"))
	h := serve(t, cfg, sums)
	announce(t, h, "other")
	c := open1(t, cfg, WithFailFast())
	begun := time.Now()
	_, err := Call[total](t.Context(), c, testTopic, sum{1, 2})
	var send *SendError
	if !errors.Is(err, ErrNotServed) || !errors.As(err, &send) || !strings.Contains(err.Error(), "rrclient topics") {
		t.Errorf("Call = %v, want that nobody serves it", err)
	}
	if took := time.Since(begun); took > config.DefaultTimeout/2 { // after which there is no answer
		t.Errorf("it fails after %s", took)
	}
	if _, err := c.Ping(t.Context(), testTopic); !errors.Is(err, ErrNotServed) {
		t.Errorf("Ping = %v", err)
	}
	announce(t, h, testTopic)
	for {
		got, err := Call[total](t.Context(), c, testTopic, sum{1, 2})
		if err == nil && got.Result == 3 {
			break
		}
		if !errors.Is(err, ErrNotServed) || time.Since(begun) > 20*time.Second {
			t.Fatalf("Call = %+v, %v", got, err)
		}
	}
	// Without it, nothing of this is looked at.
	if _, err := open1(t, cfg).Do(t.Context(), Request{Topic: "deserted", Timeout: 50 * time.Millisecond}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Do = %v", err)
	}
}

// What cannot be read is told when the client is opened, in its context's time.
func TestFailFastCannotRead(t *testing.T) {
	cluster, cfg := broker(t, kfake.SeedTopics(1, config.DefaultControlTopic))
	announce(t, serve(t, cfg, sums), testTopic)
	cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return nil, errors.New("no fetch now"), true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, cfg, WithFailFast()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open = %v", err)
	}
	cluster.DropControl()
}

// While the control topic cannot be read, and for a while after, calls are sent
// as without fail-fast: the host may live.
func TestFailFastWhileNothingCanBeRead(t *testing.T) {
	cluster, cfg := broker(t, kfake.SeedTopics(1, config.DefaultControlTopic), kfake.SeedTopics(1, "deserted"))
	h := serve(t, cfg, sums)
	// It counts for longer than the reader does without an answer.
	announceAt(t, cfg, time.Now().Add(7*time.Second-discovery.Lifetime), testTopic)
	c := open1(t, cfg, WithFailFast())
	deserted := Request{Topic: "deserted", Timeout: 50 * time.Millisecond}
	if _, err := c.Do(t.Context(), deserted); !errors.Is(err, ErrNotServed) {
		t.Errorf("Do, with all read = %v", err)
	}
	var failing, mended atomic.Bool
	cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		for _, topic := range req.(*kmsg.FetchRequest).Topics {
			if topic.Topic == config.DefaultControlTopic && !mended.Load() {
				failing.Store(true)
				return nil, errors.New("no fetch of it"), true
			}
		}
		return nil, nil, false
	})
	until(t, "the fetch before has ended", failing.Load)
	announce(t, h, testTopic) // which nobody can read
	s := c.t.(*transport).serving
	until(t, "the topic looks deserted", func() bool { return !s.served.Has(testTopic, time.Now()) })
	if got, err := Call[total](t.Context(), c, testTopic, sum{1, 2}); err != nil || got.Result != 3 {
		t.Errorf("Call, with nothing read = %+v, %v", got, err)
	}
	mended.Store(true)
	until(t, "it is read again", func() bool { return s.served.Has(testTopic, time.Now()) })
	if _, err := c.Do(t.Context(), deserted); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Do, with all read again = %v", err)
	}
}

// A topic that does not exist fails a call at once, and is asked for again by the
// next.
func TestMissingTopicFailsAtOnce(t *testing.T) {
	cluster, cfg := broker(t)
	c := open1(t, cfg)
	took := testservices.Least(func() {
		if _, err := c.Do(t.Context(), Request{Topic: "later"}); !errors.Is(err, ErrNoTopic) || !strings.Contains(err.Error(), "later") {
			t.Errorf("Do = %v", err)
		}
	})
	if took > time.Second {
		t.Errorf("Do takes %s", took)
	}
	if err := cluster.CreateTopic("later", 1, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(t.Context(), Request{Topic: "later", Timeout: 100 * time.Millisecond}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Do, once it is there = %v", err)
	}
}

// Many first calls to a topic ask once; a broker that does not answer holds up
// none beyond its time, and is no proof that a topic is missing.
func TestExisting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		answer := make(chan error)
		e := existing{check: func(string) error { asked++; return <-answer }}
		ended := make(chan error, 10)
		for range 10 {
			go func() { ended <- e.find(t.Context(), time.Now().Add(time.Second), "a") }()
		}
		synctest.Wait()
		answer <- nil
		for range 10 {
			if err := <-ended; err != nil {
				t.Errorf("find = %v", err)
			}
		}
		if err := e.find(t.Context(), time.Now(), "a"); err != nil || asked != 1 {
			t.Errorf("find = %v; asked %d times, want once", err, asked)
		}
		begun := time.Now()
		if err := e.find(t.Context(), begun.Add(time.Second), "b"); !errors.Is(err, errLate) || time.Since(begun) != time.Second {
			t.Errorf("without an answer, find = %v after %s", err, time.Since(begun))
		}
		answer <- errors.New("away") // to the one that is still asking
		synctest.Wait()
		go func() { answer <- errors.New("away") }()
		if err := e.find(t.Context(), time.Now().Add(time.Second), "b"); err != nil {
			t.Errorf("find = %v where no broker answers", err)
		}
		go func() { answer <- kafka.ErrNoTopic }()
		if err := e.find(t.Context(), time.Now().Add(time.Second), "b"); !errors.Is(err, ErrNoTopic) {
			t.Errorf("find = %v", err)
		}
	})
}

func TestPing(t *testing.T) {
	_, cfg := broker(t)
	serve(t, cfg, func(h *host, q request) {
		if q.err != nil || q.Op != wire.OpPing || len(q.plain) > 0 {
			t.Errorf("the host gets %+v, %q, %v", q.Request, q.plain, q.err)
		}
		h.answer(q, wire.StatusOK, []byte(`{"host":"h","name":"n","plugin":"p","version":"1","state":"ready","handler":"x","more":1}`))
	})
	c := open1(t, cfg)
	p, err := c.Ping(t.Context(), testTopic)
	if err != nil || !wire.ValidID(p.RequestID) || p.Took <= 0 {
		t.Fatalf("Ping = %+v, %v", p, err)
	}
	want := Pong{RequestID: p.RequestID, Topic: testTopic, Host: "h", Name: "n", Plugin: "p", Version: "1", State: "ready", Handler: "x", Took: p.Took}
	if p != want {
		t.Errorf("Ping = %+v, want %+v", p, want)
	}
	if _, err := c.Do(t.Context(), Request{Topic: testTopic, Ping: true, Payload: []byte("{}")}); !errors.Is(err, ErrMalformed) {
		t.Errorf("a ping with a payload: %v", err)
	}
	if _, err := c.Ping(t.Context(), config.DefaultControlTopic); !errors.Is(err, ErrMalformed) {
		t.Errorf("a ping of the control topic: %v", err)
	}
}

// sends counts the requests to a topic.
type sends struct {
	producer
	topic string
	n     atomic.Int32
}

func (s *sends) Send(m *sarama.ProducerMessage, waiting int, done func(kafka.Ack, error)) {
	if m.Topic == s.topic {
		s.n.Add(1)
	}
	s.producer.Send(m, waiting, done)
}

// A broker that does not answer for one topic holds up the calls to that alone, and
// none of them is sent once its time is over.
func TestTopicThatIsNotToldHoldsUpNoOther(t *testing.T) {
	_, cfg := broker(t)
	serve(t, cfg, func(h *host, q request) { h.answer(q, StatusOK, q.plain) })
	c := open1(t, cfg)
	tr := c.t.(*transport)
	if _, err := c.Do(t.Context(), Request{Topic: testTopic, Payload: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	const silent = "silent"
	late := &sends{producer: tr.producer, topic: silent}
	tr.producer = late
	answer := make(chan struct{})
	tr.topics.check = func(string) error { <-answer; return nil }
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for range unackedMost {
		calls.Go(func() {
			if _, err := c.Do(ctx, Request{Topic: silent, Payload: []byte("1")}); !errors.Is(err, context.Canceled) {
				t.Errorf("Do = %v, want the end of its context", err)
			}
		})
	}
	for range 50 {
		if _, err := c.Do(t.Context(), Request{Topic: testTopic, Payload: []byte("2"), Timeout: 10 * time.Second}); err != nil {
			t.Errorf("beside them: %v", err)
			break
		}
	}
	cancel()
	calls.Wait()
	close(answer)
	if n := late.n.Load(); n != 0 {
		t.Errorf("%d were sent after their end", n)
	}
}
