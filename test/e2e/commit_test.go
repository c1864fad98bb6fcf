package e2e

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"

	"rrhost/internal/kafka"
	"rrhost/internal/testservices"
)

// On an idle topic, where the broker holds back every fetch for its whole time, a
// commit of the host's kind of group does not wait behind one.
func TestCommitOnAnIdleTopicWaitsForNoFetch(t *testing.T) {
	testservices.Long(t)
	onBoth(t, func(t *testing.T, b backend) {
		const fetchWait = 100 * time.Millisecond
		s := newSite(t, b, layout{
			topics:  "[[topic]]\nname = \"echo-@\"\nplugin = \"echo\"\n",
			plugins: map[string]string{"echo": "echo"},
		})
		s.start() // for the topic, and as the broker where there is none else
		group, client, err := kafka.NewGroup(s.cfg, "idle-"+s.suffix, func(c *sarama.Config) {
			if c.Consumer.MaxWaitTime != fetchWait {
				t.Errorf("the fetch wait is %s, want %s", c.Consumer.MaxWaitTime, fetchWait)
			}
			c.Consumer.Offsets.AutoCommit.Enable = false
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		producer := s.outside(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		defer producer.Close()
		if err := producer.ProduceSync(ctx, &kgo.Record{Topic: s.topic("echo"), Partition: 0}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		c := &committer{took: make(chan []time.Duration, 1), done: cancel}
		if err := errors.Join(group.Consume(ctx, []string{s.topic("echo")}, c), group.Close(), client.Close()); err != nil {
			t.Fatal(err)
		}
		select {
		case took := <-c.took:
			slices.Sort(took)
			median := took[len(took)/2]
			t.Logf("median of %d commits: %s", len(took), median)
			if median > fetchWait/4 {
				t.Errorf("the median commit takes %s, more than a quarter of the fetch wait", median)
			}
		default:
			t.Fatal("the group got no record in time")
		}
	})
}

// A committer takes one record, after which it fetches in vain, commits again and
// again, and calls done.
type committer struct {
	took chan []time.Duration
	done func()
}

func (c *committer) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (c *committer) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (c *committer) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	if m, ok := <-claim.Messages(); ok { // partition 0's; the others have none
		var took []time.Duration
		for i := range int64(101) {
			session.MarkOffset(m.Topic, m.Partition, m.Offset+1+i, "")
			begun := time.Now()
			session.Commit()
			took = append(took, time.Since(begun))
		}
		c.took <- took
		c.done()
	}
	<-session.Context().Done()
	return nil
}
