package kafka

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// resend decides what becomes of messages that sarama gave up: members of a
// refused batch are sent one by one, those whose broker is away after a wait,
// and the rest has failed. It owns a goroutine for that, because who reads
// sarama's errors must not wait for its input. What waits here is bounded by what
// was sent and has not been acknowledged.
type resend struct {
	p   *Producer
	one *lane // one message a request; made on first use
	// missing are topics that were absent, and the goroutine's alone. Those of
	// before breakerOpen go when another comes.
	missing map[string]absence
	wake    chan struct{} // capacity 1
	end     chan struct{}
	done    sync.WaitGroup

	mu   sync.Mutex
	todo []failed
}

// failed is a message that sarama gave up.
type failed struct {
	m   *sarama.ProducerMessage
	err error
	at  time.Time // when to send it again; zero: to be decided
}

// resendAfter is the wait before a message is sent again whose broker is away.
// sarama itself has tried for some seconds by then.
const resendAfter = 250 * time.Millisecond

// absence is that a topic did not exist when last asked for.
type absence struct {
	err   error
	since time.Time
}

// breakerOpen is a little more than how long sarama looks away.
const breakerOpen = 12 * time.Second

func newResend(p *Producer) *resend {
	r := &resend{p: p, missing: map[string]absence{}, wake: make(chan struct{}, 1), end: make(chan struct{})}
	r.done.Go(r.run)
	return r
}

// failed takes over a message that sarama gave up.
func (r *resend) failed(m *sarama.ProducerMessage, err error) {
	r.mu.Lock()
	r.todo = append(r.todo, failed{m: m, err: err})
	r.mu.Unlock()
	r.hurry()
}

// hurry makes the goroutine look again.
func (r *resend) hurry() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *resend) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(r.pass())
		select {
		case <-r.wake:
		case <-timer.C:
		case <-r.end:
			return
		}
	}
}

// pass does what is due, in order, and says how long until something is.
func (r *resend) pass() time.Duration {
	r.mu.Lock()
	todo := r.todo
	r.todo = nil
	r.mu.Unlock()

	wait := time.Hour
	var early []failed
	for _, t := range todo {
		now := time.Now()
		if t.at.IsZero() {
			t.at = r.decide(t.m, t.err, now)
		}
		switch left := t.at.Sub(now); {
		case t.at.IsZero():
		case left > 0 && !r.p.closing.Load():
			early = append(early, t)
			wait = min(wait, left)
		default:
			f := t.m.Metadata.(*flight)
			f.lane.send(t.m, f, now)
		}
	}
	if len(early) > 0 {
		r.mu.Lock()
		r.todo = append(early, r.todo...)
		r.mu.Unlock()
	}
	return wait
}

// decide says when m is to be sent again, by f.lane, or ends it and returns the
// zero time.
func (r *resend) decide(m *sarama.ProducerMessage, err error, now time.Time) time.Time {
	f := m.Metadata.(*flight)
	why := classify(err)
	if why == tooLarge && (r.one == nil || f.lane != r.one) {
		if one, oneErr := r.single(); oneErr == nil {
			f.lane = one
			return now
		} else {
			why, err = classify(oneErr), fmt.Errorf("send alone: %w", oneErr)
		}
	}
	switch {
	case why == tooLarge || why == misfit && m.ByteSize(2) > r.p.limit:
		err = fmt.Errorf("%w for topic %s: %w", ErrTooLarge, m.Topic, err)
	case why == missingTopic:
		err = noTopic(m.Topic)
		if _, again := r.missing[m.Topic]; !again {
			maps.DeleteFunc(r.missing, func(_ string, a absence) bool { return now.Sub(a.since) > breakerOpen })
		}
		r.missing[m.Topic] = absence{err, now}
	case why == temporary && !r.p.closing.Load() && now.Sub(f.first) < retryFor:
		// After failures sarama does not even look for some seconds.
		known, ok := r.missing[m.Topic]
		if !ok || !isBreaker(err) || now.Sub(known.since) > breakerOpen {
			return now.Add(resendAfter)
		}
		err = known.err
	}
	r.p.finish(m, err, now)
	return time.Time{}
}

func (r *resend) single() (*lane, error) {
	if r.one != nil {
		return r.one, nil
	}
	l, err := r.p.newLane(func(c *sarama.Config) { c.Producer.Flush.MaxMessages = 1 })
	if err == nil {
		r.one = l
	}
	return l, err
}

// close is called when nothing is open any more.
func (r *resend) close() error {
	close(r.end)
	r.done.Wait()
	if r.one != nil {
		return r.one.close()
	}
	return nil
}
