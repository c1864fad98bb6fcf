package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
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

// half is a cluster with a topic t of two partitions, of which the second has no
// leader.
func half(t *testing.T) config.Config {
	t.Helper()
	c, cfg := broker(t, kfake.SeedTopics(2, "t"))
	host, port, err := net.SplitHostPort(c.ListenAddrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	c.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		q := req.(*kmsg.MetadataRequest)
		if !slices.ContainsFunc(q.Topics, func(t kmsg.MetadataRequestTopic) bool { return t.Topic != nil && *t.Topic == "t" }) {
			return nil, nil, false
		}
		resp := q.ResponseKind().(*kmsg.MetadataResponse)
		broker := kmsg.NewMetadataResponseBroker()
		broker.Host, broker.Port = host, int32(number)
		resp.Brokers, resp.ControllerID = append(resp.Brokers, broker), broker.NodeID
		for _, asked := range q.Topics {
			topic := kmsg.NewMetadataResponseTopic()
			if topic.Topic = asked.Topic; *asked.Topic != "t" {
				topic.ErrorCode = kerr.UnknownTopicOrPartition.Code
				resp.Topics = append(resp.Topics, topic)
				continue
			}
			for p := range int32(2) {
				partition := kmsg.NewMetadataResponseTopicPartition()
				partition.Partition, partition.Replicas, partition.ISR = p, []int32{0}, []int32{0}
				if p == 1 {
					partition.Leader, partition.ErrorCode, partition.ISR = -1, kerr.LeaderNotAvailable.Code, nil
				}
				topic.Partitions = append(topic.Partitions, partition)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
	return cfg
}

// A host asks for the partitions of its reply topics when it starts.
func TestPartitionsWithoutLeader(t *testing.T) {
	p := producer(t, half(t))
	got, err := p.Partitions("t")
	if slices.Sort(got); err != nil || !slices.Equal(got, []int32{0, 1}) {
		t.Errorf("Partitions = %v, %v; want both", got, err)
	}
}

// consumed tells what is claimed, and what is read.
type consumed struct {
	claims chan map[string][]int32
	read   chan int32
}

func (c consumed) Setup(s sarama.ConsumerGroupSession) error { c.claims <- s.Claims(); return nil }

func (consumed) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (c consumed) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	c.read <- claim.Partition()
	<-s.Context().Done()
	return nil
}

// A group reads what has a leader; a topic that there is not is still an error.
func TestGroupWithoutLeader(t *testing.T) {
	for _, rebalance := range []string{"cooperative", "eager"} {
		t.Run(rebalance, func(t *testing.T) {
			cfg := half(t)
			cfg.Kafka.Rebalance = rebalance
			group, client, err := NewGroup(cfg, "g", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			defer group.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c := consumed{make(chan map[string][]int32, 1), make(chan int32, 2)}
			over := make(chan error, 1)
			go func() { over <- group.Consume(ctx, []string{"t"}, c) }()
			select {
			case p := <-c.read:
				claims := (<-c.claims)["t"]
				if slices.Sort(claims); p != 0 || !slices.Equal(claims, []int32{0, 1}) {
					t.Errorf("partition %d is read, of %v that are claimed", p, claims)
				}
			case err := <-over:
				t.Fatalf("Consume = %v", err)
			case <-time.After(time.Minute):
				t.Fatal("nothing is read")
			}
			cancel()
			if err := <-over; err != nil {
				t.Errorf("at its end, Consume = %v", err)
			}
			if err := group.Consume(t.Context(), []string{"t", "nowhere"}, c); !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
				t.Errorf("of a topic that there is not, Consume = %v", err)
			}
		})
	}
}
