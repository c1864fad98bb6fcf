package golden

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/hashicorp/go-hclog"

	"rrhost/config"
	"rrhost/host"
	"rrhost/internal/kafka"
	"rrhost/internal/testservices"
	"rrhost/internal/wire"
)

// A site is today's host with the embedded broker, the frozen plugin, and the key
// of the golden records.
type site struct {
	cfg     config.Config
	brokers sarama.Client
}

func startSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	all, _ := readRecords(t)
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "key"), []byte(all.Key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	install(t, filepath.Join(dir, "plugins"))
	cfg := config.Config{
		Dir:      dir,
		Embedded: config.EmbeddedBroker{Listen: freeAddress(t)},
		Admin:    config.Admin{Listen: "off"},
		Plugins:  config.Plugins{Trust: "dev"},
		Plugin:   map[string]config.Plugin{"frozen": {Config: map[string]any{"greeting": "hello"}}},
	}
	for _, name := range []string{"calculate", "greeting", "fail", "wait"} {
		cfg.Topics = append(cfg.Topics, config.Topic{Name: name, Plugin: "frozen", Handler: name})
	}
	cfg = cfg.WithDefaults()
	var log logBuffer
	h, err := host.New(cfg, host.WithLogger(hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Debug})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the host: %v", err)
		}
		if t.Failed() {
			t.Logf("its log:\n%s", &log)
		}
	})
	select {
	case <-h.Ready():
	case err := <-ended:
		ended <- err
		t.Fatalf("the host ended: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("the host is not ready in time")
	}
	settings, addresses, err := kafka.Base(cfg)
	if err != nil {
		t.Fatal(err)
	}
	settings.Producer.Return.Successes = true
	settings.Producer.Partitioner = sarama.NewManualPartitioner
	brokers, err := sarama.NewClient(addresses, settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = brokers.Close() })
	return &site{cfg, brokers}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := testservices.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestOldRequestIsAnswered: what a requester of then has written, today's host
// answers, so that the requester of then can read it.
func TestOldRequestIsAnswered(t *testing.T) {
	t.Parallel()
	all, ring := readRecords(t)
	s := startSite(t)
	producer, err := sarama.NewSyncProducerFromClient(s.brokers)
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	consumer, err := sarama.NewConsumerFromClient(s.brokers)
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	asked := 0
	for _, r := range all.Requests {
		if r.header(wire.HeaderReplyTo) == "" {
			continue // nobody waits
		}
		asked++
		t.Run(r.Name, func(t *testing.T) {
			m := r.message(t)
			req, err := wire.DecodeRequest(m)
			if err != nil {
				t.Fatal(err)
			}
			replies, err := consumer.ConsumePartition(req.ReplyTo, req.ReplyPartition, sarama.OffsetNewest)
			if err != nil {
				t.Fatal(err)
			}
			defer replies.Close()
			out := &sarama.ProducerMessage{Topic: r.Topic, Value: sarama.ByteEncoder(m.Value)}
			if m.Key != nil {
				out.Key = sarama.ByteEncoder(m.Key)
			}
			for _, h := range m.Headers {
				out.Headers = append(out.Headers, *h)
			}
			if _, _, err := producer.SendMessage(out); err != nil {
				t.Fatal(err)
			}
			select {
			case got := <-replies.Messages():
				reply, err := wire.DecodeReply(got)
				if err != nil {
					t.Fatal(err)
				}
				plain, err := ring.Open(nil, reply.Payload, reply.AppendAbout(nil))
				if err != nil || reply.RequestID != req.ID || reply.Status != wire.StatusOK || string(plain) != `{"result":15}` {
					t.Errorf("answered: %s %s %q, %v", reply.RequestID, reply.Status, plain, err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("no reply")
			}
		})
	}
	if asked == 0 {
		t.Error("no golden request asks for a reply")
	}
}
