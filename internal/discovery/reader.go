package discovery

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"rrhost/config"
	"rrhost/internal/kafka"
)

// A Record is what stands on the control topic about one host.
type Record struct {
	Host string // its id
	// Announcement is nil where the host has said goodbye.
	Announcement *Announcement
	// Seen is when it was written, on this process's clock: not in the future,
	// and for what was written while the reader read, not before it was read.
	Seen time.Time

	size int // in memory, about: bytes
}

// A Reader reads the control topic, from its first record on.
type Reader struct {
	tail     *kafka.Tail
	each     func(Record)
	caughtUp chan struct{}
	ended    chan struct{}
	closing  sync.Once
	running  sync.WaitGroup
	current  currency
}

// Read opens the control topic of cfg and calls each for its records, one at a
// time, until Close. What is no announcement is passed over.
func Read(cfg config.Config, each func(Record)) (*Reader, error) {
	cfg = cfg.WithDefaults()
	if !cfg.Discovery.On() {
		return nil, errors.New("read what hosts announce: there is no control topic (hint: set topic in [discovery], here and at the hosts)")
	}
	tail, err := kafka.NewWhole(cfg, cfg.Discovery.Topic)
	if err != nil {
		return nil, fmt.Errorf("read what hosts announce: %w", err)
	}
	r := &Reader{tail: tail, each: each, caughtUp: make(chan struct{}), ended: make(chan struct{})}
	if tail.Begin() >= tail.End() {
		r.catchUp()
	}
	r.running.Go(func() { tail.Run(r.receive) })
	r.running.Go(r.watch)
	return r, nil
}

// CaughtUp is closed once each was called for all records that there were when
// the topic was opened.
func (r *Reader) CaughtUp() <-chan struct{} { return r.caughtUp }

func (r *Reader) receive(m *sarama.ConsumerMessage) {
	live := false
	select {
	case <-r.caughtUp:
		live = true
	default:
	}
	if record, ok := recordOf(m, live, time.Now()); ok {
		r.each(record)
	}
	if !live && m.Offset+1 >= r.tail.End() {
		r.catchUp()
	}
}

func (r *Reader) catchUp() {
	r.current.mark(time.Now())
	close(r.caughtUp)
}

// watch asks again and again whether the reader is at the log's end, until Close.
func (r *Reader) watch() {
	select {
	case <-r.caughtUp:
	case <-r.ended:
		return
	}
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-r.ended:
			return
		}
		asked := time.Now() // what is written after that is not known of
		if at, err := r.tail.AtEnd(); at && err == nil {
			r.current.mark(asked)
		}
	}
}

// Knows tells whether what was not announced within [Lifetime] before now can be
// taken for unserved: the reader was at the log's end a few seconds ago, and has
// been for a whole Lifetime, or ever since it was opened. After brokers were away,
// or this process was stopped, hosts have that long to announce themselves again.
func (r *Reader) Knows(now time.Time) bool { return r.current.knows(now) }

// recordOf reads one record at the time now. A live one was written just now,
// whatever its writer's clock or the broker's says; the others have only that.
func recordOf(m *sarama.ConsumerMessage, live bool, now time.Time) (Record, bool) {
	record := Record{Host: string(m.Key), Seen: now}
	if !live && m.Timestamp.UnixMilli() > 0 && m.Timestamp.Before(now) {
		record.Seen = m.Timestamp
	}
	if len(m.Value) == 0 {
		return record, true
	}
	a, err := Decode(m.Key, m.Value)
	if err != nil {
		return Record{}, false
	}
	record.Announcement = &a
	// The shortest topic of a few bytes of JSON is a [Topic] with a map.
	record.size = len(m.Value) + 512*len(a.Topics)
	return record, true
}

// Close ends the reading and waits for it. It may be called twice.
func (r *Reader) Close() error {
	r.closing.Do(func() { close(r.ended) })
	err := r.tail.Close()
	r.running.Wait()
	return err
}
