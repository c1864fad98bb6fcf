package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/IBM/sarama"

	"rrhost/config"
	"rrhost/internal/kafka"
)

// A claim names a partition.
type claim struct {
	topic     string
	partition int32
}

// A brokerLog asks the brokers about their logs, over connections of its own:
// on those that fetch, a question waits until the fetch is answered.
type brokerLog struct {
	client sarama.Client
	admin  sarama.ClusterAdmin
}

func openLog(cfg config.Config) (*brokerLog, error) {
	client, admin, err := kafka.NewAdmin(cfg, func(c *sarama.Config) {
		c.Net.ReadTimeout, c.Net.WriteTimeout = 10*time.Second, 10*time.Second
	})
	if err != nil {
		return nil, err
	}
	return &brokerLog{client, admin}, nil
}

func (l *brokerLog) close() { l.admin.Close() } // and with it the client

// present splits topics in those that exist and those that don't.
func (l *brokerLog) present(topics []string) (there, missing []string, err error) {
	found, err := l.admin.DescribeTopics(topics)
	if err != nil {
		return nil, nil, fmt.Errorf("look up topics: %w", err)
	}
	for _, t := range found {
		switch {
		case t.Err == sarama.ErrNoError:
			there = append(there, t.Name)
		case t.Err == sarama.ErrUnknownTopicOrPartition:
			missing = append(missing, t.Name)
		default:
			return nil, nil, fmt.Errorf("look up topic %s: %w", t.Name, t.Err)
		}
	}
	return there, missing, nil
}

// leaderless splits off the claims that have no leader, of whose logs nobody can
// tell.
func (l *brokerLog) leaderless(claims []claim) (led, leaderless []claim, err error) {
	var topics []string
	for _, c := range claims {
		if !slices.Contains(topics, c.topic) {
			topics = append(topics, c.topic)
		}
	}
	if len(topics) == 0 {
		return nil, nil, nil
	}
	if err := l.client.RefreshMetadata(topics...); err != nil {
		return nil, nil, fmt.Errorf("look for leaders: %w", err)
	}
	for _, c := range claims {
		if l.client.PartitionNotReadable(c.topic, c.partition) {
			leaderless = append(leaderless, c)
		} else {
			led = append(led, c)
		}
	}
	return led, leaderless, nil
}

// offsets returns the logs' first or next offsets: at is sarama.OffsetOldest or
// sarama.OffsetNewest. It asks each broker once.
func (l *brokerLog) offsets(claims []claim, at int64) (map[claim]int64, error) {
	requests := map[*sarama.Broker]*sarama.OffsetRequest{}
	for _, c := range claims {
		leader, err := l.client.Leader(c.topic, c.partition)
		if err != nil {
			return nil, fmt.Errorf("offsets of %s/%d: %w", c.topic, c.partition, err)
		}
		if requests[leader] == nil {
			requests[leader] = sarama.NewOffsetRequest(l.client.Config().Version)
		}
		requests[leader].AddBlock(c.topic, c.partition, at, 1)
	}
	found := map[claim]int64{}
	for leader, request := range requests {
		answer, err := leader.GetAvailableOffsets(request)
		if err != nil {
			leader.Close() // a new connection next time
			return nil, fmt.Errorf("offsets: %w", err)
		}
		for _, c := range claims {
			b := answer.GetBlock(c.topic, c.partition)
			if b == nil {
				continue
			}
			if b.Err != sarama.ErrNoError {
				_ = l.client.RefreshMetadata(c.topic) // perhaps its leader moved
				return nil, fmt.Errorf("offsets of %s/%d: %w", c.topic, c.partition, b.Err)
			}
			found[c] = b.Offset
		}
	}
	if len(found) < len(claims) {
		return nil, errors.New("offsets: a broker did not answer for all partitions")
	}
	return found, nil
}

// defaultRetention is Kafka's own, for a topic that doesn't tell.
const defaultRetention = 7 * 24 * time.Hour

// retention is how long Kafka keeps what is in topics, at least.
func (l *brokerLog) retention(ctx context.Context, cfg config.Config, topics []string) time.Duration {
	if cfg.IsEmbedded() && cfg.Embedded.Retention > 0 {
		return cfg.Embedded.Retention
	}
	shortest := time.Duration(1<<63 - 1)
	for _, t := range topics {
		if ctx.Err() != nil {
			break
		}
		kept := defaultRetention
		// Not being allowed to ask is no reason to stop.
		found, err := l.admin.DescribeConfigs([]*sarama.ConfigResource{
			{Type: sarama.TopicResource, Name: t, ConfigNames: []string{"retention.ms"}},
		}, sarama.DescribeConfigsOptions{})
		if err == nil && len(found) == 1 {
			for _, e := range found[0].Configs {
				if ms, err := strconv.ParseInt(e.Value, 10, 64); err == nil && e.Name == "retention.ms" {
					kept = time.Duration(1<<63 - 1) // -1: for ever
					if ms >= 0 && ms < int64(kept/time.Millisecond) {
						kept = time.Duration(ms) * time.Millisecond
					}
				}
			}
		}
		shortest = min(shortest, kept)
	}
	return shortest
}
