package embedded

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/hashicorp/go-hclog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"go.uber.org/goleak"

	"rrhost/config"
	"rrhost/internal/kafka"
)

// The test binary is also a second host: with this variable it serves the
// folder that it names until it is killed.
const childDir = "EMBEDDED_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir, os.Getenv("EMBEDDED_TEST_LISTEN"))
	}
	// sarama's meters share a goroutine that never ends.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

func child(dir, listen string) {
	cfg := config.Config{Embedded: config.EmbeddedBroker{Dir: dir, Listen: listen}}
	b, err := Start(cfg, hclog.NewNullLogger())
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(b.Addr())
	select {}
}

// settings returns a configuration with a fresh folder and a free port.
func settings(t *testing.T) config.Config {
	t.Helper()
	return config.Config{Embedded: config.EmbeddedBroker{
		Dir:    filepath.Join(t.TempDir(), "data"),
		Listen: "127.0.0.1:0",
	}}
}

// start serves cfg here, and leaves its address in cfg.
func start(t *testing.T, cfg *config.Config) *Broker {
	t.Helper()
	b, err := Start(*cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg.Embedded.Listen = b.Addr()
	return b
}

// startChild serves cfg in another process, and leaves its address in cfg. The
// result ends it as kill -9 does.
func startChild(t *testing.T, cfg *config.Config) (pid int, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+cfg.Embedded.Dir, "EMBEDDED_TEST_LISTEN="+cfg.Embedded.Listen)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(kill)
	said := make([]byte, 1024)
	n, err := out.Read(said)
	address := strings.TrimSpace(string(said[:n]))
	if _, _, bad := net.SplitHostPort(address); err != nil || bad != nil {
		t.Fatalf("the other process says %q, %v", address, err)
	}
	cfg.Embedded.Listen = address
	return cmd.Process.Pid, kill
}

// freePort returns an address that a broker can be started on again and again:
// its port is below those of outgoing connections.
func freePort(t *testing.T) string {
	t.Helper()
	for port := 21000 + os.Getpid()%8000; port < 32000; port++ {
		if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			ln.Close()
			return ln.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

// client logs in to the broker of cfg.
func client(t *testing.T, cfg config.Config, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	password, err := os.ReadFile(filepath.Join(cfg.Embedded.Dir, kafka.PasswordFile))
	if err != nil {
		t.Fatal(err)
	}
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(cfg.Embedded.Listen),
		kgo.SASL(scram.Auth{User: kafka.EmbeddedUser, Pass: strings.TrimSpace(string(password))}.AsSha256Mechanism()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), // sizes are as they are written
		kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.DisableClientMetrics(), // whose last push a dead broker makes slow
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func createTopic(t *testing.T, c *kgo.Client, topic string, partitions int32, configs map[string]*string) {
	t.Helper()
	if _, err := kadm.NewClient(c).CreateTopic(within(t), partitions, 1, configs, topic); err != nil {
		t.Fatal(err)
	}
}

// produce sends one batch of one record and returns its offset.
func produce(t *testing.T, c *kgo.Client, topic string, partition int32, value string, at time.Time) int64 {
	t.Helper()
	r, err := c.ProduceSync(within(t), &kgo.Record{
		Topic: topic, Partition: partition, Value: []byte(value), Timestamp: at,
	}).First()
	if err != nil {
		t.Fatal(err)
	}
	return r.Offset
}

// offsets returns where a partition begins and ends.
func offsets(t *testing.T, c *kgo.Client, topic string, partition int32) (begin, end int64) {
	t.Helper()
	admin := kadm.NewClient(c)
	begins, err := admin.ListStartOffsets(within(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	ends, err := admin.ListEndOffsets(within(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := begins.Lookup(topic, partition)
	e, _ := ends.Lookup(topic, partition)
	return b.Offset, e.Offset
}

func commit(t *testing.T, c *kgo.Client, group, topic string, partition int32, next int64) {
	t.Helper()
	var o kadm.Offsets
	o.AddOffset(topic, partition, next, -1)
	if err := kadm.NewClient(c).CommitAllOffsets(within(t), group, o); err != nil {
		t.Fatal(err)
	}
}

func committed(t *testing.T, c *kgo.Client, group, topic string, partition int32) int64 {
	t.Helper()
	o, err := kadm.NewClient(c).FetchOffsets(within(t), group)
	if err != nil {
		t.Fatal(err)
	}
	at, ok := o.Lookup(topic, partition)
	if !ok {
		t.Fatalf("group %s has no offset for %s/%d", group, topic, partition)
	}
	return at.At
}

// within bounds one step of a test.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// saramaProducer sends to the broker of cfg as the host does: idempotent.
func saramaProducer(t *testing.T, cfg config.Config) sarama.SyncProducer {
	t.Helper()
	c, brokers, err := kafka.Base(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Net.MaxOpenRequests = 1
	c.Producer.Idempotent = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Producer.Retry.Max = 20
	p, err := sarama.NewSyncProducer(brokers, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}
