package kafka

import (
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"rrhost/config"
)

// committer commits often while nothing is fetched.
type committer struct{ median chan time.Duration }

func (*committer) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*committer) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (c *committer) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	if claim.Partition() != 0 {
		<-claim.Messages()
		return nil
	}
	var took []time.Duration
	for m := range claim.Messages() { // one record, then idle
		for i := range int64(41) {
			s.MarkOffset(m.Topic, m.Partition, m.Offset+1+i, "")
			start := time.Now()
			s.Commit()
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		c.median <- took[len(took)/2]
	}
	return nil
}

// A commit must not wait behind a fetch that the broker holds back.
func TestGroupCommitsWhileFetchesWait(t *testing.T) {
	for _, rebalance := range []string{"cooperative", "eager"} {
		t.Run(rebalance, func(t *testing.T) {
			_, cfg := broker(t, kfake.SeedTopics(1, "t"))
			cfg.Kafka.Rebalance = rebalance
			p := producer(t, cfg)
			r := newResults(t)
			p.Send(message("t", nil, []byte("v")), 0, r.done(0))
			r.all()
			if median := commitLatency(t, cfg, "g"); median > fetchWait/4 {
				t.Errorf("median commit takes %v, the fetch wait is %v", median, fetchWait)
			}
		})
	}
}

func TestGroupSettings(t *testing.T) {
	cfg := config.Config{Kafka: config.Kafka{Brokers: []string{"b:9092"}, InstanceID: "worker-1", Rebalance: "eager"}}.WithDefaults()
	c, _, err := Base(cfg)
	if err != nil {
		t.Fatal(err)
	}
	groupSettings(c, cfg)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if c.Consumer.Offsets.Initial != sarama.OffsetOldest || c.Consumer.Group.ResetInvalidOffsets || !c.Consumer.Offsets.AutoCommit.Enable {
		t.Error("requests could be skipped in silence")
	}
	if c.Consumer.Group.InstanceId != "worker-1" || c.Consumer.Group.Rebalance.GroupStrategies[0].Name() != "range" || c.Consumer.Group.Rebalance.Timeout != time.Minute {
		t.Errorf("group settings %+v", c.Consumer.Group)
	}
	if c.Metadata.AllowAutoTopicCreation || c.Metadata.Full {
		t.Error("a typo would create a topic, or all topics be fetched")
	}
	cfg.Kafka.Rebalance = ""
	groupSettings(c, cfg)
	if name := c.Consumer.Group.Rebalance.GroupStrategies[0].Name(); name != "cooperative-sticky" {
		t.Errorf("default strategy %s", name)
	}
}
