package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/hashicorp/go-hclog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"rrhost/internal/kafka"
)

func TestSecondHostIsRefused(t *testing.T) {
	cfg := settings(t)
	pid, kill := startChild(t, &cfg)

	other := cfg
	other.Embedded.Listen = "127.0.0.1:0"
	_, err := Start(other, hclog.NewNullLogger())
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), cfg.Embedded.Dir) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", pid)) {
		t.Errorf("a second host: %v; want ErrInUse with folder %s and process %d", err, cfg.Embedded.Dir, pid)
	}

	kill() // and with the process the lock is gone
	start(t, &other)
}

func TestStartThatFailsLeavesTheFolder(t *testing.T) {
	cfg := settings(t)
	taken := settings(t)
	b := start(t, &taken)
	cfg.Embedded.Listen = b.Addr()
	if _, err := Start(cfg, hclog.NewNullLogger()); err == nil {
		t.Fatal("started on a port in use")
	}
	cfg.Embedded.Listen = "127.0.0.1:0"
	start(t, &cfg)
}

func TestFolderIsPrivate(t *testing.T) {
	cfg := settings(t)
	if err := os.MkdirAll(cfg.Embedded.Dir, 0o755); err != nil { // a user's own mkdir
		t.Fatal(err)
	}
	b := start(t, &cfg)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{
		cfg.Embedded.Dir: 0o700,
		filepath.Join(cfg.Embedded.Dir, kafka.PasswordFile): 0o600,
		filepath.Join(cfg.Embedded.Dir, lockFile):           0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
}

// A folder like /tmp, named by mistake, must not be closed to everybody else.
func TestFolderOfOthersIsRefused(t *testing.T) {
	cfg := settings(t)
	if err := os.MkdirAll(cfg.Embedded.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Embedded.Dir, "thesis.tex"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(cfg, hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), "[embedded] dir") {
		t.Errorf("Start = %v, want it refused", err)
	}
	if info, err := os.Stat(cfg.Embedded.Dir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v; want it untouched", info.Mode(), err)
	}
}

func TestPassword(t *testing.T) {
	cfg := settings(t)
	path := filepath.Join(cfg.Embedded.Dir, kafka.PasswordFile)
	read := func() string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	restart := func() {
		t.Helper()
		cfg.Embedded.Listen = "127.0.0.1:0"
		b := start(t, &cfg)
		if _, err := kadm.NewClient(client(t, cfg)).ListTopics(within(t)); err != nil {
			t.Errorf("login with the file's password: %v", err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	restart()
	first := read()
	if len(strings.TrimSpace(first)) < 32 {
		t.Errorf("password %d characters long", len(first))
	}
	restart()
	if read() != first {
		t.Error("a restart changed the password")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	restart() // the new one counts, though kfake has kept the old
	if read() == first {
		t.Error("the removed password came back")
	}

	cfg.Embedded.Listen = "127.0.0.1:0"
	start(t, &cfg)
	for name, options := range map[string][]kgo.Opt{
		"no login":       nil,
		"another's":      {kgo.SASL(scram.Auth{User: "admin", Pass: "admin"}.AsSha256Mechanism())},
		"wrong password": {kgo.SASL(scram.Auth{User: kafka.EmbeddedUser, Pass: first}.AsSha256Mechanism())},
	} {
		c, err := kgo.NewClient(append(options, kgo.SeedBrokers(cfg.Embedded.Listen), kgo.RequestRetries(1))...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kadm.NewClient(c).ListTopics(within(t)); err == nil {
			t.Errorf("%s: let in", name)
		}
		c.Close()
	}

	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openPassword(path); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("an empty password file: %v, want what to do", err)
	}
}

func TestOneLineSaysWhatItIsFor(t *testing.T) {
	var log bytes.Buffer
	cfg := settings(t)
	b, err := Start(cfg, hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Info}))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Embedded.Listen = b.Addr()
	createTopic(t, client(t, cfg), "t", 1, nil)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 1 || !strings.Contains(lines[0], "one machine") || !strings.Contains(lines[0], "[kafka] brokers") {
		t.Errorf("the log says %q, want one line", lines)
	}
}

// A producer that outlives the broker: its sequence numbers go on over a
// restart and over a kill.
func TestIdempotentProducerOutlivesTheBroker(t *testing.T) {
	cfg := settings(t)
	cfg.Embedded.Listen = freePort(t)
	b := start(t, &cfg)
	createTopic(t, client(t, cfg), "t", 1, nil)
	p := saramaProducer(t, cfg)
	send := func(want int64) {
		t.Helper()
		if _, offset, err := p.SendMessage(&sarama.ProducerMessage{Topic: "t", Value: sarama.StringEncoder("x")}); err != nil || offset != want {
			t.Fatalf("sent to offset %d, %v; want %d", offset, err, want)
		}
	}
	for i := range int64(7) {
		send(i)
	}
	if err := b.Close(); err != nil { // writes the numbers down
		t.Fatal(err)
	}
	_, kill := startChild(t, &cfg)
	for i := int64(7); i < 15; i++ { // more than kfake remembers per producer
		send(i)
	}
	kill() // writes nothing down
	start(t, &cfg)
	for i := int64(15); i < 20; i++ {
		send(i)
	}
}

// Everything acknowledged survives kill -9 of the broker's process under load,
// at the offset that was acknowledged, and so do commits.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	const producers, partitions = 8, 4
	cfg := settings(t)
	cfg.Embedded.Listen = freePort(t)
	_, kill := startChild(t, &cfg)
	createTopic(t, client(t, cfg), "t", partitions, nil)
	commit(t, client(t, cfg), "workers", "t", 1, 0)

	type place struct {
		partition int32
		offset    int64
	}
	var mu sync.Mutex
	acked := map[place]string{}
	enough := make(chan struct{})
	var load sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients []*kgo.Client
	for n := range producers {
		c := client(t, cfg)
		clients = append(clients, c)
		load.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				value := fmt.Sprintf("%d-%d", n, i)
				r, err := c.ProduceSync(ctx, &kgo.Record{Topic: "t", Partition: int32(i % partitions), Value: []byte(value)}).First()
				if err != nil {
					return // killed
				}
				mu.Lock()
				acked[place{r.Partition, r.Offset}] = value
				if len(acked) == 2000 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(time.Minute):
		t.Fatal("no 2000 records in a minute")
	}
	commit(t, client(t, cfg), "workers", "t", 2, 17)
	kill()
	stop()
	for _, c := range clients {
		c.Close() // else they would try for ever
	}
	load.Wait()

	start(t, &cfg)
	c := client(t, cfg, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if at := committed(t, c, "workers", "t", 2); at != 17 {
		t.Errorf("the group is at %d, want 17", at)
	}
	missing := len(acked)
	for missing > 0 {
		fetched := c.PollFetches(within(t))
		if err := fetched.Err(); err != nil {
			t.Fatalf("%d of %d acknowledged records are missing: %v", missing, len(acked), err)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			value, ok := acked[place{r.Partition, r.Offset}]
			if !ok {
				return // written, but killed before it was acknowledged
			}
			missing--
			if value != string(r.Value) {
				t.Errorf("%d/%d holds %q, want %q as acknowledged", r.Partition, r.Offset, r.Value, value)
			}
		})
	}
}

// sarama, as the host uses it: a consumer group, and SCRAM.
func TestSaramaConsumerGroup(t *testing.T) {
	cfg := settings(t)
	start(t, &cfg)
	createTopic(t, client(t, cfg), "t", 4, nil)
	p := saramaProducer(t, cfg)
	for i := range 100 {
		if _, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: "t", Key: sarama.StringEncoder(fmt.Sprint(i)), Value: sarama.StringEncoder("x")}); err != nil {
			t.Fatal(err)
		}
	}
	base, brokers, err := kafka.Base(cfg)
	if err != nil {
		t.Fatal(err)
	}
	base.Consumer.Offsets.Initial = sarama.OffsetOldest
	group, err := sarama.NewConsumerGroup(brokers, "workers", base)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 200)
	ctx, cancel := context.WithCancel(t.Context())
	consumed := make(chan error, 1)
	go func() { consumed <- group.Consume(ctx, []string{"t"}, taker(seen)) }()
	keys := map[string]bool{}
	for len(keys) < 100 {
		select {
		case key := <-seen:
			keys[key] = true
		case err := <-consumed:
			t.Fatalf("the group ended after %d records: %v", len(keys), err)
		case <-time.After(30 * time.Second):
			t.Fatalf("%d records after 30 s, want 100", len(keys))
		}
	}
	cancel()
	if err := errors.Join(<-consumed, group.Close()); err != nil {
		t.Error(err)
	}
	var total int64
	for partition := range int32(4) {
		at := committed(t, client(t, cfg), "workers", "t", partition)
		total += max(at, 0)
	}
	if total != 100 {
		t.Errorf("%d records are committed, want 100", total)
	}
}

type taker chan<- string

func (taker) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (taker) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (to taker) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for m := range claim.Messages() {
		session.MarkMessage(m, "")
		to <- string(m.Key)
	}
	return nil
}
