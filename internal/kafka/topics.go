package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"rrhost/config"
	"rrhost/internal/wire"
)

const (
	// sealed is how much longer sealing makes a payload, in bytes. Here nobody
	// knows of keys: a test of client holds it to envelope's.
	sealed = 65
	// overhead is what a record is larger than its plaintext, at most: seal,
	// headers, and a KiB for key, framing and, in a dead letter, where it came
	// from.
	overhead = sealed + wire.MaxHeaderBytes + 1<<10
	// brokerLimit is message.max.bytes of a broker with default settings, less
	// what sarama's estimate may be short of.
	brokerLimit = 1 << 20
)

// MaxRecord is the largest record, in bytes with headers, that rrhost sends
// under cfg, and the largest batch. The topics that [EnsureTopics] makes take it.
func MaxRecord(cfg config.Config) int {
	return max(brokerLimit, cfg.WithDefaults().Host.MaxPayload+overhead)
}

// What a topic is for.
const (
	RoleRequest    = "request"
	RoleReply      = "reply"
	RoleDeadLetter = "dead-letter"
	RoleControl    = "control"
)

// ControlRetention is how long the control topic is kept. What is in there is
// written again every half minute for as long as it is true.
const ControlRetention = time.Hour

// controlSettings keep the control topic small, since readers begin at its
// beginning: of each host its last record, and nothing of those that are gone.
// The last minutes are left whole, to tell what a host served that has just left.
func controlSettings() map[string]string {
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	const recent = 3 * time.Minute
	return map[string]string{
		"cleanup.policy":            "compact,delete",
		"retention.ms":              ms(ControlRetention),
		"segment.ms":                ms(recent),
		"min.compaction.lag.ms":     ms(recent),
		"delete.retention.ms":       ms(recent),
		"min.cleanable.dirty.ratio": "0.1",
	}
}

// A TopicSpec is a topic as a host needs it.
type TopicSpec struct {
	Name       string
	Partitions int32
	Role       string
	// Replicas is the replication factor, -1 for the broker's default.
	Replicas int16
	// Configs are the topic's own settings, others are the broker's.
	Configs map[string]string
}

// Topics lists what a host with cfg needs: request topics, each with its dead
// letters, the reply topic, and the control topic.
func Topics(cfg config.Config) []TopicSpec {
	cfg = cfg.WithDefaults()
	replicas := cfg.Kafka.ReplicationFactor
	if replicas == 0 {
		replicas = -1
	}
	spec := func(name, role string, partitions int32) TopicSpec {
		configs := map[string]string{
			// Deadlines live on the broker's clock.
			"message.timestamp.type": "LogAppendTime",
			"cleanup.policy":         "delete",
			// What is sealed does not shrink, and a broker that has to unpack
			// a compressed batch refuses one that unpacks beyond the limit.
			"compression.type": "uncompressed",
		}
		if limit := MaxRecord(cfg); limit > brokerLimit {
			configs["max.message.bytes"] = strconv.Itoa(limit)
		}
		if replicas >= 3 {
			configs["min.insync.replicas"] = "2"
		}
		return TopicSpec{Name: name, Partitions: partitions, Role: role, Replicas: replicas, Configs: configs}
	}
	var specs []TopicSpec
	seen := map[string]bool{}
	for _, t := range cfg.Topics {
		if seen[t.Name] {
			continue
		}
		seen[t.Name] = true
		partitions := t.Partitions
		if partitions == 0 {
			partitions = config.DefaultPartitions
		}
		specs = append(specs, spec(t.Name, RoleRequest, partitions), spec(wire.DeadLetterTopic(t.Name), RoleDeadLetter, 1))
	}
	specs = append(specs, spec(cfg.Replies.Topic, RoleReply, cfg.Replies.Partitions))
	if cfg.Discovery.On() {
		control := spec(cfg.Discovery.Topic, RoleControl, 1)
		maps.Copy(control.Configs, controlSettings())
		delete(control.Configs, "max.message.bytes") // announcements are small, whatever payloads are
		specs = append(specs, control)
	}
	return specs
}

// Commands are the kafka-topics.sh lines that create specs, for those who do
// not let a host do it.
func Commands(specs []TopicSpec, cfg config.Config) []string {
	cfg = cfg.WithDefaults()
	servers := strings.Join(cfg.Kafka.Brokers, ",")
	if cfg.IsEmbedded() {
		servers = embeddedAddress(cfg)
	}
	lines := make([]string, 0, len(specs))
	for _, s := range specs {
		var b strings.Builder
		fmt.Fprintf(&b, "kafka-topics.sh --bootstrap-server %s --create --if-not-exists --topic %s --partitions %d", servers, s.Name, s.Partitions)
		if s.Replicas > 0 {
			fmt.Fprintf(&b, " --replication-factor %d", s.Replicas)
		}
		for _, key := range slices.Sorted(maps.Keys(s.Configs)) {
			fmt.Fprintf(&b, " --config %s=%s", key, s.Configs[key])
		}
		lines = append(lines, b.String())
	}
	return lines
}

// leadersWithin is how long [EnsureTopics] waits for leaders. A new topic has
// them within a second, and an election takes some.
const leadersWithin = 10 * time.Second

// EnsureTopics creates those of [Topics] that do not exist, and returns when all
// have leaders. Those that have none after some seconds it names, such as
// "calculate/2": their broker may be away for long, and the others can be served.
// Where cfg forbids creating, a topic that does not exist is an error. Hosts may
// do it at once; a topic that is there is left as it is.
func EnsureTopics(ctx context.Context, cfg config.Config) (leaderless []string, err error) {
	return ensureTopics(ctx, cfg, leadersWithin)
}

func ensureTopics(ctx context.Context, cfg config.Config, patience time.Duration) (leaderless []string, err error) {
	cfg = cfg.WithDefaults()
	_, admin, err := NewAdmin(cfg, nil)
	if err != nil {
		return nil, fmt.Errorf("ensure topics: %w", err)
	}
	defer admin.Close()
	specs := Topics(cfg)
	missing, leaderless, err := lookUp(admin, specs)
	if err != nil {
		return nil, fmt.Errorf("ensure topics: %w", err)
	}
	if len(missing) > 0 && cfg.Kafka.CreateTopics != nil && !*cfg.Kafka.CreateTopics {
		return nil, fmt.Errorf("topics are missing and kafka.create_topics is false: %s (hint: `rrhost topics --print` shows the commands)", strings.Join(namesOf(missing), ", "))
	}
	for _, s := range missing {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("ensure topics: %w", err)
		}
		if err := create(admin, s); err != nil {
			err = fmt.Errorf("create %s topic %s: %w", s.Role, s.Name, err)
			if s.Role == RoleControl { // the only one that a host can do without
				err = fmt.Errorf(`%w (hint: set topic in [discovery] to "off" to do without)`, err)
			}
			return nil, err
		}
	}
	// A broker answers before all of its peers know.
	for end := time.Now().Add(patience); len(missing)+len(leaderless) > 0; {
		left := append(namesOf(missing), leaderless...)
		if !time.Now().Before(end) {
			return left, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for a leader of %s: %w", strings.Join(left, ", "), ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
		if missing, leaderless, err = lookUp(admin, specs); err != nil {
			return nil, fmt.Errorf("ensure topics: %w", err)
		}
	}
	return nil, nil
}

func create(admin sarama.ClusterAdmin, s TopicSpec) error {
	detail := &sarama.TopicDetail{NumPartitions: s.Partitions, ReplicationFactor: s.Replicas, ConfigEntries: map[string]*string{}}
	for key, value := range s.Configs {
		detail.ConfigEntries[key] = &value
	}
	err := admin.CreateTopic(s.Name, detail, false)
	if errors.Is(err, sarama.ErrTopicAlreadyExists) {
		return nil
	}
	return err
}

// lookUp finds those of specs that do not exist, and the partitions without
// leader of those that do: a topic's name alone where its partitions are not
// known yet.
func lookUp(admin sarama.ClusterAdmin, specs []TopicSpec) (missing []TopicSpec, leaderless []string, err error) {
	found, err := admin.DescribeTopics(namesOf(specs))
	if err != nil {
		return nil, nil, err
	}
	there := map[string]bool{}
	for _, t := range found {
		switch t.Err {
		case sarama.ErrUnknownTopicOrPartition:
			continue
		case sarama.ErrNoError, sarama.ErrLeaderNotAvailable:
		default:
			return nil, nil, fmt.Errorf("topic %s: %w", t.Name, t.Err)
		}
		there[t.Name] = true
		if len(t.Partitions) == 0 {
			leaderless = append(leaderless, t.Name)
		}
		for _, p := range t.Partitions {
			if p.Leader < 0 {
				leaderless = append(leaderless, fmt.Sprintf("%s/%d", t.Name, p.ID))
			}
		}
	}
	missing = slices.DeleteFunc(slices.Clone(specs), func(s TopicSpec) bool { return there[s.Name] })
	return missing, leaderless, nil
}

func namesOf(specs []TopicSpec) []string {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	return names
}
