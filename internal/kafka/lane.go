package kafka

import (
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// lane is one sarama producer with a client of its own. Two goroutines read its
// results until it is closed. Neither ever waits for sarama's input: whoever
// gives sarama a message may wait until a result is read.
type lane struct {
	client sarama.Client
	async  sarama.AsyncProducer
	read   sync.WaitGroup
}

func (p *Producer) newLane(tune func(*sarama.Config)) (*lane, error) {
	c, brokers, err := Base(p.cfg)
	if err != nil {
		return nil, err
	}
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Idempotent = true
	c.Producer.Compression = sarama.CompressionNone // sealed bytes do not shrink
	c.Producer.MaxMessageBytes = p.limit
	c.Producer.Partitioner = newPartitioner
	c.Producer.Return.Successes = true
	c.Producer.Return.Errors = true
	// About 5 s before sarama gives up; the producer then tries the messages
	// anew until retryFor is over.
	c.Producer.Retry.Max = 12
	c.Producer.Retry.BackoffFunc = func(retries, _ int) time.Duration {
		if p.closing.Load() {
			return 0
		}
		return backoff(retries, 50*time.Millisecond, 500*time.Millisecond)
	}
	patient := c.Metadata.Retry.BackoffFunc
	c.Metadata.Retry.BackoffFunc = func(retries, most int) time.Duration {
		if p.closing.Load() {
			return 0
		}
		return patient(retries, most)
	}
	// Of these only the retries of the producer id's fetch matter.
	c.Producer.Transaction.Retry.Max = 10
	c.Producer.Transaction.Retry.Backoff = 100 * time.Millisecond
	tune(c)

	client, err := dial(p.cfg, c, brokers)
	if err != nil {
		return nil, err
	}
	async, err := sarama.NewAsyncProducerFromClient(client)
	if err != nil {
		_ = client.Close()
		return nil, explain(brokers, err)
	}
	l := &lane{client: client, async: async}
	l.read.Go(func() {
		for m := range async.Successes() {
			p.succeeded(m, time.Now())
		}
	})
	l.read.Go(func() {
		for e := range async.Errors() {
			p.again.failed(e.Msg, e.Err)
		}
	})
	return l, nil
}

// send hands m to sarama, stamped with now. It blocks while sarama is full.
func (l *lane) send(m *sarama.ProducerMessage, f *flight, now time.Time) {
	if now.Nanosecond()%int(time.Millisecond) == 0 {
		now = now.Add(1) // see succeeded
	}
	f.lane, f.sent = l, now
	m.Timestamp, m.Offset = now, -1
	l.async.Input() <- m
}

// close ends the lane after what it was given.
func (l *lane) close() error {
	l.async.AsyncClose()
	l.read.Wait()
	return l.client.Close()
}
