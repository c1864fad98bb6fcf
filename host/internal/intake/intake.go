// Package intake takes request records from Kafka and commits the offsets of
// those that are settled.
//
// Per partition, requests are begun in order and settle in any order; the
// committed offset is the one below which all are settled. What a host takes is
// bounded: by the concurrency of each topic and by the bytes it holds. When a
// bound is reached the partition is paused, and what still arrives waits in the
// claim's backlog. A few pings are begun beyond the concurrency.
package intake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/hashicorp/go-hclog"
)

// Config is what an [Intake] needs.
type Config struct {
	// Group is the consumer group. The caller closes it, after Run.
	Group sarama.ConsumerGroup
	// Oldest tells the first offset that a partition still has.
	Oldest func(topic string, partition int32) (int64, error)
	// Topics maps each request topic to its concurrency.
	Topics map[string]int
	// MaxBytes bounds the bytes of records (keys, values, headers) held by this
	// host, shared equally among its partitions; each may exceed its share by what
	// one fetch brings.
	MaxBytes int64
	// DrainTimeout bounds the wait for running requests when a partition is
	// given up. It must be below the group's rebalance timeout.
	DrainTimeout time.Duration
	// Start begins a message and returns at once. Each message must be settled or
	// dropped exactly once, from any goroutine, also before Start returns.
	Start func(*Message) Work
	// Joined, which may be nil, is called whenever the group gave this host its
	// partitions.
	Joined func()
	Logger hclog.Logger
}

// An Intake is a member of the consumer group.
type Intake struct {
	cfg    Config
	logger hclog.Logger
	start  func(*Message) Work
	gates  map[string]*gate

	held    atomic.Int64 // record bytes received and not settled
	claimed atomic.Int64 // claims

	mu     sync.Mutex // guards all below
	claims map[partition]*claim
	lost   map[partition]bool // whose committed offset the log no longer has
	joined bool               // in a session now
	err    error              // why the last session failed
}

type partition struct {
	topic string
	id    int32
}

// New makes an intake; Run starts it.
func New(cfg Config) *Intake {
	in := &Intake{
		cfg: cfg, logger: cfg.Logger, start: cfg.Start,
		gates:  make(map[string]*gate),
		claims: make(map[partition]*claim),
		lost:   make(map[partition]bool),
	}
	for topic, concurrency := range cfg.Topics {
		in.gates[topic] = newGate(concurrency)
	}
	return in
}

// Run consumes until ctx is done; then it stops reading, lets what runs finish
// for at most DrainTimeout, commits and leaves the group. It joins again, with a
// growing wait, after a session that failed. It leaves no goroutine behind.
func (in *Intake) Run(ctx context.Context) error {
	topics := make([]string, 0, len(in.gates))
	for topic := range in.gates {
		topics = append(topics, topic)
	}
	// sarama delivers what goes wrong in the group's own goroutines here; the
	// channel closes with the group, which the caller does after Run.
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { in.watchErrors(stop) })
	defer watch.Wait()
	defer close(stop)

	wait := minWait
	for ctx.Err() == nil {
		began := time.Now()
		err := in.cfg.Group.Consume(ctx, topics, in)
		in.setSession(false, err)
		if errors.Is(err, sarama.ErrClosedConsumerGroup) {
			return fmt.Errorf("consume: %w", err)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			in.logger.Error("the consumer group session failed; joining again", "error", err, "wait", wait)
		}
		if time.Since(began) > maxWait {
			wait = minWait
		}
		if err != nil || time.Since(began) < minWait { // never spin
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
			}
			wait = min(2*wait, maxWait)
		}
	}
	return nil
}

const (
	minWait = 100 * time.Millisecond
	maxWait = 10 * time.Second
)

func (in *Intake) watchErrors(stop <-chan struct{}) {
	for {
		select {
		case err, ok := <-in.cfg.Group.Errors():
			if !ok {
				return
			}
			in.noteError(err)
		case <-stop:
			return
		}
	}
}

func (in *Intake) noteError(err error) {
	var at *sarama.ConsumerError
	if errors.As(err, &at) && errors.Is(err, sarama.ErrOffsetOutOfRange) {
		in.mu.Lock()
		in.lost[partition{at.Topic, at.Partition}] = true
		in.mu.Unlock()
	}
	in.logger.Warn("the consumer group reports an error", "error", err)
}

func (in *Intake) setSession(joined bool, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.joined = joined
	if joined || err != nil {
		in.err = err
	}
}

// Setup begins a session (sarama calls it). A partition of its whose committed
// offset is gone from the log begins at the oldest record it still has, and that
// is said aloud: the requests between are lost.
func (in *Intake) Setup(session sarama.ConsumerGroupSession) error {
	in.mu.Lock()
	lost := in.lost
	in.lost = make(map[partition]bool)
	in.mu.Unlock()
	claims := session.Claims()
	for p := range lost {
		if !slices.Contains(claims[p.topic], p.id) {
			continue // whoever has it now finds that out
		}
		oldest, err := in.cfg.Oldest(p.topic, p.id)
		if err != nil {
			return fmt.Errorf("find the oldest offset of %s/%d: %w", p.topic, p.id, err)
		}
		session.MarkOffset(p.topic, p.id, oldest, "")  // moves forward only,
		session.ResetOffset(p.topic, p.id, oldest, "") // and this back only
		in.logger.Error("the log does not have the committed offset, and is read from its oldest record: requests before that are lost",
			"topic", p.topic, "partition", p.id, "continue_at", oldest)
	}
	in.setSession(true, nil)
	if in.cfg.Joined != nil {
		in.cfg.Joined()
	}
	return nil
}

// Cleanup ends a session (sarama calls it).
func (in *Intake) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// ConsumeClaim runs one claim until it is revoked (sarama calls it).
func (in *Intake) ConsumeClaim(session sarama.ConsumerGroupSession, from sarama.ConsumerGroupClaim) error {
	p := partition{from.Topic(), from.Partition()}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(session.Context()))
	c := &claim{
		ctx: ctx, cancel: cancel,
		topic: p.topic, partition: p.id, in: in,
		gate: in.gates[p.topic], wake: make(chan struct{}, 1),
		window: newWindow(), idle: make(chan struct{}),
		mark: func(next int64) { session.MarkOffset(p.topic, p.id, next, "") },
		high: from.HighWaterMarkOffset,
		from: from.InitialOffset(),
		end:  from.HighWaterMarkOffset(),
	}
	in.mu.Lock()
	in.claims[p] = c
	in.mu.Unlock()
	in.claimed.Add(1)
	c.gate.join(c)
	// sarama remembers a pause across claims: without this, a partition that was
	// lost while paused would come back paused for good.
	in.resume(p.topic, p.id)

	in.logger.Info("partition assigned", "topic", p.topic, "partition", p.id, "offset", offsetText(c.from), "end", c.end)
	c.run(from.Messages(), session.Context().Done())
	c.drain(in.cfg.DrainTimeout)
	in.resume(p.topic, p.id)
	in.claimed.Add(-1)

	in.mu.Lock()
	if in.claims[p] == c {
		delete(in.claims, p)
	}
	in.mu.Unlock()
	in.logger.Info("partition given up", "topic", p.topic, "partition", p.id)
	return nil
}

// offsetText names what is not an offset yet: the group has committed none.
func offsetText(offset int64) any {
	if offset == sarama.OffsetOldest {
		return "oldest"
	}
	return offset
}

func (in *Intake) pause(topic string, partition int32) {
	in.cfg.Group.Pause(map[string][]int32{topic: {partition}})
}

func (in *Intake) resume(topic string, partition int32) {
	in.cfg.Group.Resume(map[string][]int32{topic: {partition}})
}

// byteShare is how many record bytes one claim may hold.
func (in *Intake) byteShare() int64 {
	return in.cfg.MaxBytes / max(1, in.claimed.Load())
}
