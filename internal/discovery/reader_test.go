package discovery

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"rrhost/config"
	"rrhost/internal/kafka"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// One for the process, started by sarama's meter of fetches.
		goleak.IgnoreAnyFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"),
	)
}

// broker starts a fake cluster with a control topic.
func broker(t *testing.T) (*kfake.Cluster, config.Config, *kafka.Producer) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, config.DefaultControlTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cfg := config.Config{Kafka: config.Kafka{Brokers: c.ListenAddrs()}}
	p, err := kafka.NewProducer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, cfg, p
}

// write writes a record and waits for it. A nil value is a tombstone.
func write(t *testing.T, p *kafka.Producer, key string, value []byte) {
	t.Helper()
	m := &sarama.ProducerMessage{Topic: config.DefaultControlTopic, Key: sarama.StringEncoder(key)}
	if value != nil {
		m.Value = sarama.ByteEncoder(value)
	}
	done := make(chan error, 1)
	p.SendTo(0, m, 0, func(_ kafka.Ack, err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func announcing(t *testing.T, topics ...string) (host string, value []byte) {
	t.Helper()
	a := Announcement{Host: uuid.NewString(), Name: "here"}
	for _, name := range topics {
		a.Topics = append(a.Topics, Topic{Name: name, State: "ready"})
	}
	value, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return a.Host, value
}

func read(t *testing.T, cfg config.Config, each func(Record)) *Reader {
	t.Helper()
	r, err := Read(cfg, each)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := r.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		}
	})
	return r
}

func caughtUp(t *testing.T, r *Reader) {
	t.Helper()
	select {
	case <-r.CaughtUp():
	case <-time.After(20 * time.Second):
		t.Fatal("the reader does not catch up")
	}
}

// A reader knows what was announced before it is caught up, and what is announced
// after; what is no announcement it passes over.
func TestReader(t *testing.T) {
	_, cfg, p := broker(t)
	gone, value := announcing(t, "old")
	write(t, p, gone, value)
	stays, value := announcing(t, "a", "b")
	write(t, p, stays, value)
	write(t, p, "stranger", []byte("{"))
	write(t, p, gone, nil)

	var hosts Hosts
	var served Served
	more := make(chan struct{}, 16)
	r := read(t, cfg, func(r Record) {
		hosts.Add(r)
		served.Add(r)
		more <- struct{}{}
	})
	caughtUp(t, r)
	if list := hosts.List(time.Now()); len(list) != 1 || list[0].Host != stays {
		t.Errorf("hosts are %+v", list)
	}
	for topic, want := range map[string]bool{"old": true, "a": true, "b": true, "c": false} {
		if served.Has(topic, time.Now()) != want {
			t.Errorf("topic %s is served: %v", topic, !want)
		}
	}
	for range 3 {
		<-more
	}
	late, value := announcing(t, "c")
	write(t, p, late, value)
	select {
	case <-more:
	case <-time.After(20 * time.Second):
		t.Fatal("what is announced later is not read")
	}
	if !served.Has("c", time.Now()) || len(hosts.List(time.Now())) != 2 {
		t.Error("what was announced later is not known")
	}
}

func TestReaderOfAnEmptyTopic(t *testing.T) {
	_, cfg, _ := broker(t)
	caughtUp(t, read(t, cfg, func(Record) {}))
}

// Of a log that is trimmed, the reader waits for no record that is gone.
func TestReaderOfATrimmedTopic(t *testing.T) {
	c, cfg, p := broker(t)
	for range 3 {
		host, value := announcing(t, "a")
		write(t, p, host, value)
	}
	if err := c.DeleteRecords(config.DefaultControlTopic, 0, 3); err != nil {
		t.Fatal(err)
	}
	caughtUp(t, read(t, cfg, func(Record) { t.Error("a record that is gone was read") }))
}

func TestReaderWithoutATopic(t *testing.T) {
	c, cfg, _ := broker(t)
	if err := c.DeleteTopic(config.DefaultControlTopic); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(cfg, func(Record) {}); err == nil || !strings.Contains(err.Error(), "rr.control") || !strings.Contains(err.Error(), "hint: ") {
		t.Errorf("Read = %v", err)
	}
	cfg.Discovery.Topic = "off"
	if _, err := Read(cfg, func(Record) {}); err == nil || !strings.Contains(err.Error(), "no control topic") {
		t.Errorf("Read = %v", err)
	}
}

// Publisher and reader through a broker: a host comes, and takes its leave.
func TestPublishedIsRead(t *testing.T) {
	_, cfg, producer := broker(t)
	p := NewPublisher()
	p.Topic, p.Send = config.DefaultControlTopic, producer.SendTo
	host, _ := announcing(t)
	p.Now = func() Announcement { return Announcement{Host: host, Topics: []Topic{{Name: "a"}}} }
	p.Failed = func(err error) { t.Error(err) }
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })

	records := make(chan Record, 16)
	read(t, cfg, func(r Record) { records <- r })
	next := func() Record {
		select {
		case r := <-records:
			return r
		case <-time.After(20 * time.Second):
			t.Fatal("nothing is announced")
			return Record{}
		}
	}
	if r := next(); r.Host != host || r.Announcement == nil || r.Announcement.Topics[0].Name != "a" {
		t.Errorf("announced is %+v", r)
	}
	cancel()
	running.Wait()
	if r := next(); r.Host != host || r.Announcement != nil {
		t.Errorf("the goodbye is %+v", r)
	}
}
