package kafka

import (
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"rrhost/config"
)

// fetchWait is how long a broker holds a fetch when there is nothing to give.
// It bounds what a rebalance or a new claim waits behind a parked fetch; below
// 100 ms sarama warns of idle load.
const fetchWait = 100 * time.Millisecond

// NewGroup makes a member of the consumer group called name, not joined yet.
// tune, which may be nil, changes the settings before they are used.
//
// Offsets start at the oldest record, are committed every 500 ms once marked,
// and are not reset in silence when the log no longer has them: Consume fails
// then. The group's errors need not be read.
//
// The client is the one that fetches; closing it ends the connections. Close the
// group first.
func NewGroup(cfg config.Config, name string, tune func(*sarama.Config)) (sarama.ConsumerGroup, sarama.Client, error) {
	cfg = cfg.WithDefaults()
	settings := func() (*sarama.Config, []string, error) {
		c, brokers, err := Base(cfg)
		if err != nil {
			return nil, nil, err
		}
		groupSettings(c, cfg)
		if tune != nil {
			tune(c)
		}
		return c, brokers, nil
	}
	fail := func(err error) (sarama.ConsumerGroup, sarama.Client, error) {
		return nil, nil, fmt.Errorf("open consumer group %s: %w", name, err)
	}
	c, brokers, err := settings()
	if err != nil {
		return fail(err)
	}
	fetching, err := dial(cfg, c, brokers)
	if err != nil {
		return fail(err)
	}
	c, brokers, err = settings()
	if err != nil {
		return fail(errors.Join(err, fetching.Close()))
	}
	coordinating, err := dial(cfg, c, brokers)
	if err != nil {
		return fail(errors.Join(err, fetching.Close()))
	}
	both := &groupClient{Client: fetching, coordinating: coordinating}
	group, err := sarama.NewConsumerGroupFromClient(name, both)
	if err != nil {
		return fail(errors.Join(err, both.Close()))
	}
	return group, both, nil
}

func groupSettings(c *sarama.Config, cfg config.Config) {
	c.Consumer.MaxWaitTime = fetchWait
	c.Consumer.Fetch.Min = 1
	c.Consumer.Fetch.Default = 1 << 20
	c.Consumer.Fetch.MaxBytes = 16 << 20
	c.Consumer.Retry.Backoff = 250 * time.Millisecond
	c.Consumer.Return.Errors = true
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	// With automatic commits off, marks not committed at a revocation are lost.
	c.Consumer.Offsets.AutoCommit.Enable = true
	c.Consumer.Offsets.AutoCommit.Interval = 500 * time.Millisecond
	c.Consumer.Group.ResetInvalidOffsets = false
	c.Consumer.Group.InstanceId = cfg.Kafka.InstanceID
	c.Consumer.Group.Rebalance.Timeout = cfg.Host.RebalanceTimeout
	c.Consumer.Group.Rebalance.Retry.Max = 20
	c.Consumer.Group.Rebalance.Retry.Backoff = 250 * time.Millisecond
	// A strategy value remembers the assignment: one for each group.
	strategy := sarama.NewBalanceStrategyCooperativeSticky()
	if cfg.Kafka.Rebalance == "eager" {
		strategy = sarama.NewBalanceStrategyRange()
	}
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	// What can still arrive of a partition after it was paused.
	c.ChannelBufferSize = 256
}

// groupClient talks to the group's coordinator over connections of its own. A
// sarama client has one connection to a broker and holds it for a whole round
// trip: a commit or heartbeat would wait up to fetchWait behind a fetch that the
// same broker holds back. Measured on an idle topic: a commit in 0.1 ms, and 89
// without this.
type groupClient struct {
	sarama.Client
	coordinating sarama.Client
}

func (g *groupClient) Coordinator(group string) (*sarama.Broker, error) {
	return g.coordinating.Coordinator(group)
}

func (g *groupClient) RefreshCoordinator(group string) error {
	return g.coordinating.RefreshCoordinator(group)
}

func (g *groupClient) Close() error {
	return errors.Join(g.Client.Close(), g.coordinating.Close())
}
