package kafka

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"rrhost/config"
)

const (
	// batchAbove is how many outstanding messages make it worth to hold a
	// record back for company. Measured: with few waiting, a flush timer costs
	// five times the latency; with many, doing without costs a third of the
	// throughput.
	batchAbove = 16
	// batchFor is how long a record is held back then.
	batchFor = time.Millisecond
	// retryFor bounds how long a message is tried whose broker is away. A
	// leader election takes some seconds.
	retryFor = 20 * time.Second
)

var (
	// ErrTooLarge is wrapped by the error of a message that is over the
	// producer's limit or the broker's. Others in its batch do not fail.
	ErrTooLarge = errors.New("record is too large")
	// ErrProducerClosed is the error of a message sent after Close.
	ErrProducerClosed = errors.New("producer is closed")
)

// An Ack says where a message is now.
type Ack struct {
	Partition int32
	// Offset is -1 where the broker did not tell, as for a batch that it
	// recognised as already written.
	Offset int64
	// Broker is the time that the broker gave the record, to the millisecond.
	// It is zero unless the topic has message.timestamp.type=LogAppendTime.
	Broker time.Time
	// Sent and Acked are this process's clock around the exchange.
	Sent, Acked time.Time
}

// Producer sends records with acks from all in-sync replicas, idempotently.
//
// Batching follows load. sarama batches by itself what arrives while a request
// is under way, which is right while few wait; when many do, larger batches
// pay more than the millisecond that they wait. So there are two sarama
// producers, one without flush timer and one with, each with connections of
// its own, and every message says how many are waiting.
//
// A broker refuses a batch as a whole when it is over the topic's limit. Its
// members are then sent one by one through a third producer, so that only the
// culprit fails.
type Producer struct {
	cfg   config.Config
	few   *lane
	many  *lane
	again *resend
	limit int

	// mu is read-locked while a message is handed over, so that Close never
	// closes sarama's input under a sender.
	mu      sync.RWMutex
	closed  bool
	closing atomic.Bool    // cuts the waits between retries
	open    sync.WaitGroup // messages whose done has not run
	ended   chan struct{}
}

// flight is what a message carries through sarama, in its Metadata.
type flight struct {
	done   func(Ack, error)
	lane   *lane
	pinned bool
	first  time.Time // when Send was called
	sent   time.Time // the record's timestamp, with a part below a millisecond
}

// NewProducer connects to the brokers of cfg. The caller closes it.
func NewProducer(cfg config.Config) (*Producer, error) {
	cfg = cfg.WithDefaults()
	p := &Producer{cfg: cfg, limit: MaxRecord(cfg), ended: make(chan struct{})}
	p.again = newResend(p)
	var err error
	if p.few, err = p.newLane(func(*sarama.Config) {}); err != nil {
		return nil, fmt.Errorf("open producer: %w", errors.Join(err, p.again.close()))
	}
	p.many, err = p.newLane(func(c *sarama.Config) { c.Producer.Flush.Frequency = batchFor })
	if err != nil {
		return nil, fmt.Errorf("open producer: %w", errors.Join(err, p.few.close(), p.again.close()))
	}
	return p, nil
}

// Send sends m to the partition of its key as the Java client would, or to any
// if it has none. waiting is how many messages or requests are outstanding at
// the caller: it picks the batching. A keyed message always takes the same
// way, so that those with one key arrive in the order of the calls (except
// where a broker refuses a batch or is away, and they are tried again).
//
// Send blocks while sarama's buffers are full. It never drops: done is called
// exactly once, from a goroutine of the producer, and must not block; given an
// error, it may Send again. After Close, Send calls it itself. Send takes over
// m, its Metadata and Timestamp.
func (p *Producer) Send(m *sarama.ProducerMessage, waiting int, done func(Ack, error)) {
	if m.Key != nil {
		waiting = 0
	}
	p.send(m, waiting, &flight{done: done})
}

// SendTo is [Producer.Send] to one partition, whatever m's key. The order of
// messages is not kept. A partition is known minutes after it was made, or once
// [Producer.Partitions] has told of it.
func (p *Producer) SendTo(partition int32, m *sarama.ProducerMessage, waiting int, done func(Ack, error)) {
	m.Partition = partition
	p.send(m, waiting, &flight{done: done, pinned: true})
}

// Partitions asks the brokers for the partitions of a topic, with and without
// leader, and lets [Producer.SendTo] know those that are new.
func (p *Producer) Partitions(topic string) (list []int32, err error) {
	for _, l := range []*lane{p.few, p.many} {
		if err = l.client.RefreshMetadata(topic); err == nil {
			list, err = l.client.Partitions(topic)
		}
		if err != nil {
			return nil, fmt.Errorf("ask for the partitions of %s: %w", topic, err)
		}
	}
	return list, nil
}

func (p *Producer) send(m *sarama.ProducerMessage, waiting int, f *flight) {
	m.Metadata = f
	p.mu.RLock()
	if p.closed {
		p.mu.RUnlock()
		f.done(Ack{Partition: -1, Offset: -1}, ErrProducerClosed)
		return
	}
	p.open.Add(1)
	l := p.few
	if waiting > batchAbove {
		l = p.many
	}
	f.first = time.Now()
	l.send(m, f, f.first)
	p.mu.RUnlock()
}

// succeeded is called once for every message that the broker acknowledged.
func (p *Producer) succeeded(m *sarama.ProducerMessage, now time.Time) {
	f := m.Metadata.(*flight)
	ack := Ack{Partition: m.Partition, Offset: m.Offset, Sent: f.first, Acked: now}
	// The time sent has a part below a millisecond, the broker's has none.
	if !m.Timestamp.Equal(f.sent) {
		ack.Broker = m.Timestamp
	}
	f.done(ack, nil)
	p.open.Done()
}

// finish ends a message that was not acknowledged.
func (p *Producer) finish(m *sarama.ProducerMessage, err error, now time.Time) {
	f := m.Metadata.(*flight)
	f.done(Ack{Partition: m.Partition, Offset: -1, Sent: f.first, Acked: now}, err)
	p.open.Done()
}

// Close sends what is under way, waits for its acknowledgements, and ends the
// producer's goroutines and connections. Messages whose broker is away are not
// waited for beyond the try under way. It may be called twice.
func (p *Producer) Close() error {
	p.closing.Store(true)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		<-p.ended
		return nil
	}
	p.closed = true
	p.mu.Unlock()
	defer close(p.ended)

	p.again.hurry()
	p.open.Wait()
	return errors.Join(p.again.close(), p.few.close(), p.many.close())
}
