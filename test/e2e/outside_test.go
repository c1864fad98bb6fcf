package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// A place is where a record is in the log.
type place struct {
	topic     string
	partition int32
	offset    int64
}

func placeOf(r *kgo.Record) place { return place{r.Topic, r.Partition, r.Offset} }

// header is a record's header, empty if it is not there.
func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// outside is a client of the site's Kafka that has nothing of rrhost in it.
func (s *site) outside(opts ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	brokers := s.cfg.Kafka.Brokers
	if s.backend.embedded {
		password, err := os.ReadFile(filepath.Join(s.dir, "data", "broker.password"))
		if err != nil {
			s.t.Fatal(err)
		}
		brokers = []string{s.cfg.Embedded.Listen}
		opts = append(opts, kgo.SASL(scram.Auth{User: "rrhost", Pass: strings.TrimSpace(string(password))}.AsSha256Mechanism()))
	}
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(50*time.Millisecond))...)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// consumeAll reads the topics from their beginning to where they end now.
func (s *site) consumeAll(topics ...string) []*kgo.Record {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	c := s.outside(kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer c.Close()
	admin := kadm.NewClient(c)
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	left := s.ends(topics...)
	for p := range left {
		if o, ok := starts.Lookup(p.topic, p.partition); !ok || o.Offset >= left[p] {
			delete(left, p)
		}
	}
	var all []*kgo.Record
	for len(left) > 0 {
		fetched := c.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			s.t.Fatalf("read %v from outside: %v", topics, err)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			p := place{topic: r.Topic, partition: r.Partition}
			end, open := left[p]
			if !open || r.Offset >= end {
				return // came since
			}
			all = append(all, r)
			if r.Offset == end-1 {
				delete(left, p)
			}
		})
	}
	return all
}

// ends are the offsets where the partitions end.
func (s *site) ends(topics ...string) map[place]int64 {
	s.t.Helper()
	c := s.outside()
	defer c.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	listed, err := kadm.NewClient(c).ListEndOffsets(ctx, topics...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	ends := make(map[place]int64)
	listed.Each(func(o kadm.ListedOffset) { ends[place{topic: o.Topic, partition: o.Partition}] = o.Offset })
	return ends
}

// committed are the offsets that the workers' group has committed of a topic.
func (s *site) committed(topic string) map[place]int64 {
	s.t.Helper()
	c := s.outside()
	defer c.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	fetched, err := kadm.NewClient(c).FetchOffsets(ctx, s.cfg.Kafka.Group)
	if err != nil {
		s.t.Fatal(err)
	}
	at := make(map[place]int64)
	fetched.Each(func(o kadm.OffsetResponse) {
		if o.Topic == topic {
			at[place{topic: topic, partition: o.Partition}] = o.At
		}
	})
	return at
}

// awaitCommitted waits until all of a topic is committed.
func (s *site) awaitCommitted(topic string) {
	s.t.Helper()
	until(s.t, 20*time.Second, func() string {
		at := s.committed(topic)
		for p, end := range s.ends(topic) {
			if end > 0 && at[p] != end {
				return p.describe("is committed up to", at[p], "and ends at", end)
			}
		}
		return ""
	})
}

// makeTopic makes a topic that no host serves.
func (s *site) makeTopic(name string) {
	s.t.Helper()
	c := s.outside()
	defer c.Close()
	if _, err := kadm.NewClient(c).CreateTopic(s.t.Context(), 1, -1, nil, name); err != nil {
		s.t.Fatal(err)
	}
}

// deleteTopics is for a site whose topics don't have names of their own.
func (s *site) deleteTopics() {
	c := s.outside()
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := kadm.NewClient(c).DeleteTopics(ctx, append(s.topics(), s.cfg.Discovery.Topic)...); err != nil {
		s.t.Error(err)
	}
}
