package kafka

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/IBM/sarama"

	"rrhost/config"
)

// A Finding is one line of `rrhost check`.
type Finding struct {
	Subject string // such as "topic calculate"
	OK      bool
	// Problem is what is wrong, or, if OK, what is worth knowing.
	Problem string
	// Mend is what to do about it; empty if OK.
	Mend string
}

// CheckTopics looks at the topics of cfg as they are, and at what else bounds a
// payload that is larger than the default. Every topic has at least one finding.
// A missing topic is fine where a host creates it.
func CheckTopics(ctx context.Context, cfg config.Config) ([]Finding, error) {
	cfg = cfg.WithDefaults()
	_, admin, err := NewAdmin(cfg, nil)
	if err != nil {
		return nil, fmt.Errorf("check topics: %w", err)
	}
	defer admin.Close()
	specs := Topics(cfg)
	metadata, err := admin.DescribeTopics(namesOf(specs))
	if err != nil {
		return nil, fmt.Errorf("check topics: %w", err)
	}
	found := map[string]*sarama.TopicMetadata{}
	for _, m := range metadata {
		found[m.Name] = m
	}
	var all []Finding
	for i, s := range specs {
		if err := ctx.Err(); err != nil {
			return all, fmt.Errorf("check topics: %w", err)
		}
		t := topicCheck{spec: s, cfg: cfg, command: Commands(specs[i:i+1], cfg)[0]}
		meta := found[s.Name]
		switch {
		case meta == nil || meta.Err == sarama.ErrUnknownTopicOrPartition:
			t.missing()
		case meta.Err == sarama.ErrTopicAuthorizationFailed:
			t.bad("this login may not see it", "grant Describe, and Read and Write, on the topic")
		case meta.Err != sarama.ErrNoError && meta.Err != sarama.ErrLeaderNotAvailable:
			return all, fmt.Errorf("check topic %s: %w", s.Name, meta.Err)
		case len(meta.Partitions) == 0:
			t.bad("no partition has a leader", "start the brokers that hold it")
		default:
			t.partitions(meta)
			if err := t.settings(admin, len(meta.Partitions[0].Replicas)); err != nil {
				return all, fmt.Errorf("check topic %s: %w", s.Name, err)
			}
			if len(t.findings) == 0 {
				t.findings = append(t.findings, Finding{Subject: t.subject(), OK: true, Problem: t.summary(meta)})
			}
		}
		all = append(all, t.findings...)
	}
	limits, err := checkLimits(admin, cfg)
	if err != nil {
		return all, fmt.Errorf("check limits: %w", err)
	}
	return append(all, limits...), nil
}

// topicCheck collects the findings of one topic.
type topicCheck struct {
	spec     TopicSpec
	cfg      config.Config
	command  string
	findings []Finding
}

func (t *topicCheck) subject() string { return t.spec.Role + " topic " + t.spec.Name }

func (t *topicCheck) bad(problem, mend string) {
	t.findings = append(t.findings, Finding{Subject: t.subject(), Problem: problem, Mend: mend})
}

func (t *topicCheck) missing() {
	if t.cfg.Kafka.CreateTopics == nil || *t.cfg.Kafka.CreateTopics {
		t.findings = append(t.findings, Finding{Subject: t.subject(), OK: true, Problem: "does not exist yet; rrhost run creates it"})
		return
	}
	t.bad("does not exist, and kafka.create_topics is false", t.command)
}

func (t *topicCheck) summary(m *sarama.TopicMetadata) string {
	text := fmt.Sprintf("partitions %d, replicas %d", len(m.Partitions), len(m.Partitions[0].Replicas))
	if t.cfg.IsEmbedded() && t.spec.Role != RoleControl {
		text += "; the embedded broker stamps no time, deadlines count on the requesters' clocks"
	}
	return text
}

func (t *topicCheck) partitions(m *sarama.TopicMetadata) {
	have, want := len(m.Partitions), int(t.spec.Partitions)
	if have < want {
		t.bad(fmt.Sprintf("has %d partitions, the configuration says %d", have, want),
			fmt.Sprintf("kafka-topics.sh --alter --topic %s --partitions %d, or change the configuration", t.spec.Name, want))
	}
	var down []string
	var behind int
	for _, p := range m.Partitions {
		switch {
		case p.Leader < 0:
			down = append(down, strconv.Itoa(int(p.ID)))
		case len(p.Isr) < len(p.Replicas):
			behind++
		}
	}
	if len(down) > 0 {
		t.bad(fmt.Sprintf("%d of %d partitions have no leader: %s", len(down), have, strings.Join(down, ", ")), "start the brokers that hold them")
	}
	if behind > 0 {
		t.bad(fmt.Sprintf("%d of %d partitions have a replica that lags behind", behind, have), "look at the brokers that hold them")
	}
}

// cleanup looks at how the topic forgets.
func (t *topicCheck) cleanup(policy string, alter func(string) string) {
	compacted := strings.Contains(policy, "compact")
	switch {
	case policy == "":
	case t.spec.Role == RoleControl && !compacted:
		t.bad("cleanup.policy is "+policy+": what hosts have announced piles up, and is slow to read", alter("cleanup.policy=[compact,delete]"))
	case t.spec.Role != RoleControl && policy != "delete":
		t.bad("cleanup.policy is "+policy+": records with the same key would be dropped", alter("cleanup.policy=delete"))
	}
}

// settings looks at those that lose, expire or refuse records.
func (t *topicCheck) settings(admin sarama.ClusterAdmin, replicas int) error {
	found, err := admin.DescribeConfigs([]*sarama.ConfigResource{{Type: sarama.TopicResource, Name: t.spec.Name}}, sarama.DescribeConfigsOptions{})
	if err != nil {
		return err
	}
	value := map[string]string{}
	limitOf := ""
	for _, f := range found {
		switch f.ErrorCode {
		case sarama.ErrNoError:
		case sarama.ErrTopicAuthorizationFailed:
			t.bad("this login may not read its settings", "grant DescribeConfigs on the topic")
			return nil
		default:
			return fmt.Errorf("settings of topic %s: %w", t.spec.Name, f.ErrorCode)
		}
		for _, e := range f.Configs {
			value[e.Name] = e.Value
			if e.Name != "max.message.bytes" {
				continue
			}
			if limitOf = "max.message.bytes"; e.Source != sarama.SourceTopic {
				limitOf += ", from the broker's message.max.bytes,"
			}
		}
	}
	alter := func(setting string) string {
		return fmt.Sprintf("kafka-configs.sh --alter --topic %s --add-config %s", t.spec.Name, setting)
	}
	if v := value["message.timestamp.type"]; v != "" && v != "LogAppendTime" {
		what := "deadlines then count on the requesters' clocks"
		if t.spec.Role == RoleControl {
			what = "how old an announcement is then counts on the hosts' clocks"
		}
		t.bad("message.timestamp.type is "+v+": "+what, alter("message.timestamp.type=LogAppendTime"))
	}
	t.cleanup(value["cleanup.policy"], alter)
	limit := brokerLimit
	if v, err := strconv.Atoi(t.spec.Configs["max.message.bytes"]); err == nil {
		limit = v
	}
	if v, err := strconv.Atoi(value["max.message.bytes"]); err == nil && v < limit {
		t.bad(fmt.Sprintf("%s is %d, host.max_payload needs %d", limitOf, v, limit), alter("max.message.bytes="+strconv.Itoa(limit))+", or lower host.max_payload")
	}
	isr, err := strconv.Atoi(value["min.insync.replicas"])
	switch {
	case err != nil:
	case replicas == 1 && !t.cfg.IsEmbedded():
		t.findings = append(t.findings, Finding{Subject: t.subject(), OK: true,
			Problem: "one replica: what is acknowledged is lost with its broker; production wants 3 with min.insync.replicas=2"})
	case replicas > 1 && isr < 2:
		t.bad(fmt.Sprintf("min.insync.replicas is %d with %d replicas: a record may be acknowledged by one broker alone", isr, replicas), alter("min.insync.replicas=2"))
	case isr >= replicas && replicas > 1:
		t.bad(fmt.Sprintf("min.insync.replicas is %d with %d replicas: one broker away stops it", isr, replicas), alter("min.insync.replicas="+strconv.Itoa(replicas-1)))
	}
	return nil
}
