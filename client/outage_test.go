package client

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rrhost/config"
	"rrhost/internal/envelope"
	"rrhost/internal/kafka"
	"rrhost/internal/testservices"
)

func replyPartition(c *Client) int32 { return c.t.(*transport).replies.Partition() }

func TestReplyPartitionMoves(t *testing.T) {
	cluster, cfg := broker(t, kfake.NumBrokers(3))
	serve(t, cfg, sums)
	c := open1(t, cfg)
	for i := range 6 {
		if got, err := Call[total](t.Context(), c, testTopic, sum{i, 1}); err != nil || got.Result != i+1 {
			t.Fatalf("Call after %d moves = %+v, %v", i, got, err)
		}
		part := replyPartition(c)
		to := (cluster.LeaderFor(cfg.WithDefaults().Replies.Topic, part) + 1) % 3
		if err := cluster.MoveTopicPartition(cfg.WithDefaults().Replies.Topic, part, to); err != nil {
			t.Fatal(err)
		}
	}
}

// The log of the reply topic is trimmed beyond where the client reads: it goes
// on with what is left.
func TestReplyTopicTrimmed(t *testing.T) {
	cluster, cfg := broker(t)
	h := serve(t, cfg, sums)
	c := open1(t, cfg)
	topic := cfg.WithDefaults().Replies.Topic
	if _, err := Call[total](t.Context(), c, testTopic, sum{}); err != nil {
		t.Fatal(err)
	}
	part := replyPartition(c)
	// Fetches of this partition get no answer while the log moves on.
	tail := c.t.(*transport).replies
	cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if cluster.PartitionInfo(topic, part).LogStartOffset > 0 {
			cluster.DropControl()
			return nil, nil, false
		}
		return nil, errors.New("no"), true
	})
	var wait sync.WaitGroup
	for range 10 {
		wait.Add(1)
		h.producer.SendTo(part, &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("x")}, 0, func(_ kafka.Ack, err error) {
			if err != nil {
				t.Errorf("send: %v", err)
			}
			wait.Done()
		})
	}
	wait.Wait()
	if err := cluster.DeleteRecords(topic, part, 8); err != nil {
		t.Fatal(err)
	}
	until(t, "repositioned", func() bool { return tail.Repositioned() > 0 })
	if got, err := Call[total](t.Context(), c, testTopic, sum{1, 2}); err != nil || got.Result != 3 {
		t.Errorf("Call after the trim = %+v, %v", got, err)
	}
}

// More calls than may wait for Kafka at once, and a broker that is gone: each
// ends at its own time.
func TestTimeoutsWithoutBroker(t *testing.T) {
	cluster, cfg := broker(t)
	c := open1(t, cfg)
	_, _ = Call[total](t.Context(), c, testTopic, sum{}, WithTimeout(100*time.Millisecond))
	cluster.Close()
	var wg sync.WaitGroup
	start := time.Now()
	for range 2 * unackedMost {
		wg.Go(func() {
			_, err := Call[total](t.Context(), c, testTopic, sum{}, WithTimeout(500*time.Millisecond))
			var send *SendError
			if !errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &send) {
				t.Errorf("Call = %v", err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(start); took > config.DefaultTimeout/2 {
		t.Errorf("calls with 500 ms took %v", took)
	}
	start = time.Now()
	if err := c.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Close took %v without a broker", took)
	}
}

func TestCallToUnknownTopic(t *testing.T) {
	_, cfg := broker(t)
	c := open1(t, cfg)
	_, err := Call[total](t.Context(), c, "nowhere", sum{})
	var send *SendError
	if !errors.As(err, &send) || !errors.Is(err, ErrNoTopic) {
		t.Fatalf("Call = %#v", err)
	}
	mentions(t, err, "nowhere", send.RequestID, "hint")
}

func TestOpenFails(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	free.Close()
	key := config.Encryption{Key: config.Secret(envelope.GenerateKey())}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	embedded := config.Config{Dir: dir, Encryption: key, Embedded: config.EmbeddedBroker{Listen: nobody}}
	tests := []struct {
		name   string
		cfg    config.Config
		before func()
		want   []string
	}{
		{"embedded, never started", embedded, func() {}, []string{"no host is running", nobody, "rrhost run"}},
		{"embedded, stopped", embedded, func() {
			if err := os.WriteFile(filepath.Join(dir, "data", "broker.password"), []byte("pw\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, []string{"no host is running", nobody, "rrhost run"}},
		{"no broker", config.Config{Kafka: config.Kafka{Brokers: []string{nobody}}, Encryption: key}, func() {}, []string{nobody, "kafka.brokers"}},
		{"no reply topic", config.Config{Kafka: config.Kafka{Brokers: cluster.ListenAddrs()}, Encryption: key}, func() {}, []string{"rr.replies", "does not exist", "rrhost run"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.before()
			tell := func() {
				c, err := Open(t.Context(), tt.cfg)
				if err == nil {
					c.Close()
					t.Fatal("Open succeeded")
				}
				mentions(t, err, tt.want...)
			}
			if !strings.HasPrefix(tt.name, "embedded") {
				tell()
			} else if took := testservices.Least(tell); took > time.Second {
				t.Errorf("told after %v", took)
			}
		})
	}
}

func TestOpenCancelled(t *testing.T) {
	// A listener that never answers.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = Open(ctx, config.Config{
		Kafka:      config.Kafka{Brokers: []string{l.Addr().String()}},
		Encryption: config.Encryption{Key: config.Secret(envelope.GenerateKey())},
	})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 10*time.Second {
		t.Errorf("Open = %v after %v", err, time.Since(start))
	}
}
