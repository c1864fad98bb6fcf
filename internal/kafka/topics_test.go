package kafka

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"rrhost/config"
)

func withTopics(cfg config.Config) config.Config {
	cfg.Topics = []config.Topic{{Name: "calculate", Partitions: 3}, {Name: "echo"}}
	cfg.Replies.Partitions = 5
	return cfg
}

func TestEnsureTopics(t *testing.T) {
	cluster, cfg := broker(t, kfake.NumBrokers(3))
	cfg = withTopics(cfg)
	// Several hosts start at once.
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if leaderless, err := EnsureTopics(t.Context(), cfg); err != nil || leaderless != nil {
				t.Errorf("EnsureTopics = %v, %v", leaderless, err)
			}
		})
	}
	wg.Wait()
	want := map[string]int{"calculate": 3, "calculate.dlq": 1, "echo": config.DefaultPartitions, "echo.dlq": 1, "rr.replies": 5, "rr.control": 1}
	for name, partitions := range want {
		if got := len(cluster.PartitionInfos(name)); got != partitions {
			t.Errorf("topic %s has %d partitions, want %d", name, got, partitions)
		}
		configs := cluster.TopicInfo(name).Configs
		cleanup := "delete"
		if name == "rr.control" {
			cleanup = "compact,delete"
		}
		for key, value := range map[string]string{"message.timestamp.type": "LogAppendTime", "cleanup.policy": cleanup, "compression.type": "uncompressed"} {
			if v := configs[key]; v == nil || *v != value {
				t.Errorf("topic %s: %s is %v, want %s", name, key, v, value)
			}
		}
	}
	if len(Topics(cfg)) != len(want) {
		t.Errorf("%d topics, want %d", len(Topics(cfg)), len(want))
	}
}

func TestEnsureTopicsForbidden(t *testing.T) {
	_, cfg := broker(t, kfake.SeedTopics(3, "calculate", "calculate.dlq", "rr.replies", "rr.control"))
	no := false
	cfg = withTopics(cfg)
	cfg.Kafka.CreateTopics = &no
	_, err := EnsureTopics(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "echo, echo.dlq") || !strings.Contains(err.Error(), "rrhost topics --print") || strings.Contains(err.Error(), "calculate") {
		t.Errorf("EnsureTopics = %v, want it to name echo and echo.dlq alone", err)
	}
}

func TestEnsureTopicsCancelled(t *testing.T) {
	_, cfg := broker(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := EnsureTopics(ctx, withTopics(cfg)); !errors.Is(err, context.Canceled) {
		t.Errorf("EnsureTopics = %v", err)
	}
}

func TestTopicsLimits(t *testing.T) {
	cfg := withTopics(config.Config{})
	if got := MaxRecord(cfg); got != 1<<20 {
		t.Errorf("MaxRecord = %d, want what a broker takes by default", got)
	}
	if v := Topics(cfg)[0].Configs["max.message.bytes"]; v != "" {
		t.Errorf("max.message.bytes = %s, want the broker's own", v)
	}
	cfg.Host.MaxPayload = 4 << 20
	cfg.Kafka.ReplicationFactor = 3
	s := Topics(cfg)[0]
	if s.Configs["max.message.bytes"] != "4203585" || s.Configs["min.insync.replicas"] != "2" || s.Replicas != 3 {
		t.Errorf("spec = %+v", s)
	}
	cfg.Kafka.Brokers = []string{"b1:9092", "b2:9092"}
	want := "kafka-topics.sh --bootstrap-server b1:9092,b2:9092 --create --if-not-exists --topic calculate --partitions 3 --replication-factor 3" +
		" --config cleanup.policy=delete --config compression.type=uncompressed --config max.message.bytes=4203585" +
		" --config message.timestamp.type=LogAppendTime --config min.insync.replicas=2"
	if got := Commands(Topics(cfg), cfg)[0]; got != want {
		t.Errorf("command\n%s, want\n%s", got, want)
	}
}

// What rrhost creates, rrhost finds in order.
func TestCheckTopics(t *testing.T) {
	cluster, cfg := broker(t, kfake.NumBrokers(3), kfake.BrokerConfigs(map[string]string{"min.insync.replicas": "2"}))
	cfg = withTopics(cfg)
	findings := func() map[string][]Finding {
		t.Helper()
		list, err := CheckTopics(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string][]Finding{}
		for _, f := range list {
			all[f.Subject] = append(all[f.Subject], f)
			if f.OK == (f.Mend != "") {
				t.Errorf("finding %+v: something to mend means not ok, and the other way round", f)
			}
		}
		return all
	}
	for subject, list := range findings() {
		if len(list) != 1 || !list[0].OK || !strings.Contains(list[0].Problem, "rrhost run creates it") {
			t.Errorf("%s: %+v, want that it will be created", subject, list)
		}
	}
	if _, err := EnsureTopics(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	for subject, list := range findings() {
		if len(list) != 1 || !list[0].OK {
			t.Errorf("%s: %+v, want ok", subject, list)
		}
	}
	if err := cluster.DeleteTopic("echo"); err != nil {
		t.Fatal(err)
	}
	if err := cluster.CreateTopic("echo", 1, map[string]string{
		"cleanup.policy": "compact", "max.message.bytes": "1000", "min.insync.replicas": "1", "message.timestamp.type": "CreateTime",
	}); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range findings()["request topic echo"] {
		text.WriteString(f.Problem + "\n" + f.Mend + "\n")
		if f.OK {
			t.Errorf("finding %+v of a topic that is wrong in all", f)
		}
	}
	for _, want := range []string{"1 partitions, the configuration says 4", "cleanup.policy is compact", "max.message.bytes is 1000", "min.insync.replicas is 1", "message.timestamp.type is CreateTime"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no finding says %q:\n%s", want, text.String())
		}
	}
	no := false
	cfg.Kafka.CreateTopics = &no
	if err := cluster.DeleteTopic("calculate"); err != nil {
		t.Fatal(err)
	}
	list := findings()["request topic calculate"]
	if len(list) != 1 || list[0].OK || !strings.HasPrefix(list[0].Mend, "kafka-topics.sh") {
		t.Errorf("missing and not to be created: %+v", list)
	}
}

// Every topic that a payload goes through is a limit of its own.
func TestCheckTopicsThatTakeTooLittle(t *testing.T) {
	cluster, cfg := broker(t)
	cfg = withTopics(cfg)
	cfg.Host.MaxPayload = 4 << 20
	want := make(map[string]bool)
	for _, spec := range Topics(cfg) {
		if spec.Role != RoleControl { // announcements are small, whatever payloads are
			want[spec.Role+" topic "+spec.Name] = true
			spec.Configs["max.message.bytes"] = "1048588"
		}
		if err := cluster.CreateTopic(spec.Name, spec.Partitions, spec.Configs); err != nil {
			t.Fatal(err)
		}
	}
	if len(want) != 5 {
		t.Fatalf("of two topics, payloads go through %v", want)
	}
	list, err := CheckTopics(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		switch {
		case f.OK:
		case !want[f.Subject] || !strings.Contains(f.Problem, "max.message.bytes is 1048588, host.max_payload needs ") || !strings.Contains(f.Mend, "max.message.bytes="):
			t.Errorf("%+v", f)
		default:
			delete(want, f.Subject)
		}
	}
	for subject := range want {
		t.Errorf("%s is in the way of the largest payload, and nobody says so", subject)
	}
}

// commitLatency is the median time of a synchronous commit while the group's
// fetches wait on idle partitions.
func commitLatency(t *testing.T, cfg config.Config, group string) time.Duration {
	t.Helper()
	g, conns, err := NewGroup(cfg, group, func(c *sarama.Config) { c.Consumer.Offsets.AutoCommit.Enable = false })
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(g.Close(), conns.Close()); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	h := &committer{median: make(chan time.Duration, 1)}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- g.Consume(ctx, []string{"t"}, h) }()
	var median time.Duration
	select {
	case median = <-h.median:
	case err := <-ran:
		t.Fatalf("Consume = %v", err)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Consume = %v", err)
	}
	return median
}
