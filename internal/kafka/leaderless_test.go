package kafka

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rrhost/config"
)

// withoutLeader is a cluster that has all topics of the configuration, where what
// is in leaderless ("topic/partition") has no leader for as long as lasts says.
func withoutLeader(t *testing.T, leaderless []string, lasts func() bool) (cfg config.Config, created func() int32) {
	t.Helper()
	c, cfg := broker(t)
	cfg = withTopics(cfg)
	specs := Topics(cfg)
	for _, s := range specs {
		if err := c.CreateTopic(s.Name, s.Partitions, s.Configs); err != nil {
			t.Fatal(err)
		}
	}
	c.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		q := req.(*kmsg.MetadataRequest)
		if len(q.Topics) != len(specs) || !lasts() {
			return nil, nil, false
		}
		resp := q.ResponseKind().(*kmsg.MetadataResponse)
		for _, s := range specs {
			topic := kmsg.NewMetadataResponseTopic()
			topic.Topic = &s.Name
			for p := range s.Partitions {
				partition := kmsg.NewMetadataResponseTopicPartition()
				partition.Partition, partition.Replicas, partition.ISR = p, []int32{0}, []int32{0}
				if slices.Contains(leaderless, fmt.Sprintf("%s/%d", s.Name, p)) {
					partition.Leader, partition.ErrorCode, partition.ISR = -1, kerr.LeaderNotAvailable.Code, nil
				}
				topic.Partitions = append(topic.Partitions, partition)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
	var n atomic.Int32
	c.ControlKey(int16(kmsg.CreateTopics), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		n.Add(1)
		return nil, nil, false
	})
	return cfg, n.Load
}

// A broker that is away for long must not keep a host from serving what the
// others hold, and a topic that is there is not missing.
func TestEnsureTopicsWithoutLeader(t *testing.T) {
	for _, create := range []bool{true, false} {
		lost := []string{"calculate/1", "rr.replies/4"}
		cfg, created := withoutLeader(t, lost, func() bool { return true })
		cfg.Kafka.CreateTopics = &create
		got, err := ensureTopics(t.Context(), cfg, 0)
		if err != nil || !slices.Equal(got, lost) {
			t.Errorf("create_topics = %v: %v, %v; want %v", create, got, err, lost)
		}
		if n := created(); n > 0 {
			t.Errorf("create_topics = %v: %d topics created that are there", create, n)
		}
	}
}

// An election, or a topic that another host has just created: it is waited for.
func TestEnsureTopicsAwaitsLeaders(t *testing.T) {
	var asked atomic.Int32
	cfg, _ := withoutLeader(t, []string{"echo.dlq/0"}, func() bool { return asked.Add(1) <= 3 })
	got, err := ensureTopics(t.Context(), cfg, time.Hour)
	if err != nil || got != nil || asked.Load() != 4 {
		t.Errorf("%v, %v after %d questions; want nothing left after the fourth", got, err, asked.Load())
	}
}

func TestCheckTopicsWithoutLeader(t *testing.T) {
	cfg, _ := withoutLeader(t, []string{"calculate/0", "calculate/2"}, func() bool { return true })
	list, err := CheckTopics(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	want := "2 of 3 partitions have no leader: 0, 2"
	if !slices.ContainsFunc(list, func(f Finding) bool { return f.Subject == "request topic calculate" && !f.OK && f.Problem == want }) {
		t.Errorf("no finding %q in %+v", want, list)
	}
}
