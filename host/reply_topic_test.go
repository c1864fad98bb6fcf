package host_test

import (
	"context"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/uuid"

	"rrhost/client"
	"rrhost/config"
	"rrhost/host"
	"rrhost/internal/kafka"
	"rrhost/internal/wire"
	"rrhost/plugin"
)

// A reply topic may grow while hosts run: the first requester that waits at a new
// partition is answered there.
func TestReplyTopicGrows(t *testing.T) {
	cfg := testConfig(t)
	start(t, cfg, host.WithHandler(plugin.HandleRaw("echo", func(_ context.Context, payload []byte) ([]byte, error) { return payload, nil })))
	settings, brokers, err := kafka.Base(cfg.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	settings.Metadata.Full = true
	admin, err := sarama.NewClusterAdmin(brokers, settings)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if err := admin.CreatePartitions(cfg.WithDefaults().Replies.Topic, 64, nil, false); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c := open(t, cfg)
		if _, err := c.Do(t.Context(), client.Request{Topic: "echo", Payload: []byte("x"), Timeout: 20 * time.Second}); err != nil {
			t.Error(err)
		}
	}
}

// strayRequest sends a request to echo that wants its reply on a partition that
// there is not.
func strayRequest(t *testing.T, cfg config.Config) {
	t.Helper()
	cfg = cfg.WithDefaults()
	ring, err := cfg.Ring()
	if err != nil {
		t.Fatal(err)
	}
	p, err := kafka.NewProducer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r := wire.Request{
		Topic: "echo", ID: uuid.NewString(), ReplyTo: cfg.Replies.Topic, ReplyPartition: 9999, Timeout: time.Minute, Sent: time.Now(),
	}
	sent := make(chan error, 1)
	p.Send(&sarama.ProducerMessage{
		Topic: r.Topic, Value: sarama.ByteEncoder(ring.Seal(nil, []byte("1"), r.AppendAbout(nil))), Headers: r.Headers(),
	}, 0, func(_ kafka.Ack, err error) { sent <- err })
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// A request whose address is asked for does not hold up a host that stops, and
// the next one ends it.
func TestStopWhileAnAddressIsAskedFor(t *testing.T) {
	cfg := testConfig(t)
	cfg.Host.DrainTimeout = 40 * time.Second
	echo := host.WithHandler(plugin.HandleRaw("echo", func(_ context.Context, payload []byte) ([]byte, error) { return payload, nil }))
	_, stop := start(t, cfg, echo)
	strayRequest(t, cfg)
	untilDeadLetters(t, cfg, 1)
	// Soon after the answer to the first, so that the second waits for a second.
	strayRequest(t, cfg)
	inFlight := regexp.MustCompile(`rrhost_in_flight\{[^}]*topic="echo"[^}]*\} 1`)
	until(t, func() bool {
		_, metrics := get(t, "http://"+cfg.Admin.Listen+"/metrics")
		return inFlight.MatchString(metrics) || deadLetters(t, cfg) == 2
	}, "the second request is not in flight")
	begun := time.Now()
	stop()
	if took := time.Since(begun); took > cfg.Host.DrainTimeout/2 {
		t.Errorf("the host took %s to stop", took)
	}
	start(t, cfg, echo)
	untilDeadLetters(t, cfg, 2)
}

func untilDeadLetters(t *testing.T, cfg config.Config, want int64) {
	t.Helper()
	until(t, func() bool { return deadLetters(t, cfg) == want }, fmt.Sprintf("there are not %d dead letters", want))
}

// deadLetters counts those of the topic echo.
func deadLetters(t *testing.T, cfg config.Config) int64 {
	t.Helper()
	settings, brokers, err := kafka.Base(cfg.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	c, err := sarama.NewClient(brokers, settings)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n, err := c.GetOffset(wire.DeadLetterTopic("echo"), 0, sarama.OffsetNewest)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func until(t *testing.T, ok func() bool, otherwise string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(otherwise)
		}
	}
}
