package kafka

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"rrhost/config"
)

const (
	// tailWait is how long a broker holds a fetch of a [Tail]: it is answered
	// as soon as there is a record, and Close waits for the last one.
	tailWait = 250 * time.Millisecond
	// rereadAtMost bounds how far a Tail goes back after the log lost its end.
	rereadAtMost = 10_000
)

// Tail reads one partition of a topic on and on, without a consumer group. It
// outlives leader changes and a log that was trimmed under it.
type Tail struct {
	topic        string
	partition    int32
	next         atomic.Int64 // the offset to read next; Run's, once it runs
	begin        int64        // where reading began
	end          int64        // of the log, when it was opened
	client       sarama.Client
	consumer     sarama.Consumer
	repositioned atomic.Int64

	mu      sync.Mutex
	current sarama.PartitionConsumer
	closed  bool
	ended   chan struct{}
	errors  sync.WaitGroup // the readers of errors

	closing sync.Once
	failure error // of closing
}

// NewTail opens a random partition of topic at its end. When it returns, the
// position is fixed: every record produced from now on will be read. The caller
// calls Run once, and Close.
func NewTail(cfg config.Config, topic string) (*Tail, error) {
	return newTail(cfg, topic, false)
}

// NewWhole opens partition 0 of topic at its first record. The caller calls Run
// once, and Close.
func NewWhole(cfg config.Config, topic string) (*Tail, error) {
	return newTail(cfg, topic, true)
}

func newTail(cfg config.Config, topic string, whole bool) (*Tail, error) {
	c, brokers, err := Base(cfg)
	if err != nil {
		return nil, fmt.Errorf("read topic %s: %w", topic, err)
	}
	c.Consumer.MaxWaitTime = tailWait
	c.Consumer.Fetch.Default = 1 << 20
	c.Consumer.Retry.Backoff = 100 * time.Millisecond
	c.Consumer.Return.Errors = true
	client, err := dial(cfg, c, brokers)
	if err != nil {
		return nil, fmt.Errorf("read topic %s: %w", topic, err)
	}
	t := &Tail{topic: topic, client: client, ended: make(chan struct{})}
	if err := t.open(whole); err != nil {
		_ = client.Close()
		return nil, fmt.Errorf("read topic %s: %w", topic, err)
	}
	return t, nil
}

func (t *Tail) open(whole bool) error {
	partitions, err := t.client.Partitions(t.topic)
	if err != nil {
		if errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
			return fmt.Errorf("the topic does not exist: %w (hint: `rrhost run` creates it, `rrhost topics --print` shows how)", err)
		}
		return err
	}
	if !whole {
		t.partition = partitions[rand.IntN(len(partitions))]
	}
	if t.consumer, err = sarama.NewConsumerFromClient(t.client); err != nil {
		return err
	}
	if t.end, err = t.client.GetOffset(t.topic, t.partition, sarama.OffsetNewest); err != nil {
		return err
	}
	if t.begin = t.end; whole {
		// After the end, so that it is never behind it.
		if t.begin, err = t.client.GetOffset(t.topic, t.partition, sarama.OffsetOldest); err != nil {
			return err
		}
	}
	return t.position(t.begin)
}

// position starts reading at offset.
func (t *Tail) position(offset int64) error {
	pc, err := t.consumer.ConsumePartition(t.topic, t.partition, offset)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return errors.Join(sarama.ErrClosedClient, pc.Close())
	}
	t.current = pc
	t.next.Store(offset)
	// Unread errors would stop sarama. What they say it mends by itself, but
	// for an offset out of range: then it closes Messages.
	t.errors.Go(func() {
		for range pc.Errors() {
		}
	})
	return nil
}

// Partition is the partition being read.
func (t *Tail) Partition() int32 { return t.partition }

// Begin is the offset at which reading begins.
func (t *Tail) Begin() int64 { return t.begin }

// End is the offset after the last record that there was when t was opened.
func (t *Tail) End() int64 { return t.end }

// AtEnd asks the broker for the log's end, and tells whether all before it was
// read. It blocks for as long as brokers are asked.
func (t *Tail) AtEnd() (bool, error) {
	newest, err := t.client.GetOffset(t.topic, t.partition, sarama.OffsetNewest)
	if err != nil {
		return false, fmt.Errorf("find the end of topic %s: %w", t.topic, err)
	}
	return t.next.Load() == newest, nil
}

// Repositioned is how often the log was trimmed or cut under the reader, so
// that records may have been missed.
func (t *Tail) Repositioned() int64 { return t.repositioned.Load() }

// Run calls each for every record, in order. It returns soon after Close.
func (t *Tail) Run(each func(*sarama.ConsumerMessage)) {
	for {
		t.mu.Lock()
		pc := t.current
		t.mu.Unlock()
		for m := range pc.Messages() {
			each(m)
			t.next.Store(m.Offset + 1)
		}
		if !t.reopen() {
			return
		}
	}
}

// reopen opens the partition again after sarama gave it up, and reports false
// once Close was called. Records that are left of a trimmed log are read from
// their first; after the log lost its end, the last few are read again.
func (t *Tail) reopen() bool {
	for tries := 1; ; tries++ {
		select {
		case <-t.ended:
			return false
		default:
		}
		oldest, err := t.client.GetOffset(t.topic, t.partition, sarama.OffsetOldest)
		if err == nil {
			var newest int64
			if newest, err = t.client.GetOffset(t.topic, t.partition, sarama.OffsetNewest); err == nil {
				next := t.next.Load()
				at := max(oldest, next)
				if next > newest {
					at = max(oldest, newest-rereadAtMost)
				}
				err = t.position(at)
			}
		}
		if err == nil {
			t.repositioned.Add(1)
			return true
		}
		select {
		case <-t.ended:
			return false
		case <-time.After(backoff(tries, 50*time.Millisecond, time.Second)):
		}
	}
}

// Close makes Run return, waits for the fetch under way and ends the
// connections. It may be called twice.
func (t *Tail) Close() error {
	t.closing.Do(func() {
		t.mu.Lock()
		t.closed = true
		close(t.ended)
		t.current.AsyncClose()
		t.mu.Unlock()
		t.errors.Wait()
		t.failure = t.client.Close()
	})
	return t.failure
}
