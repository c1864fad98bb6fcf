package kafka

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
)

// resend tries messages again that sarama gave up: members of a refused batch
// one by one, and those whose broker is away after a wait. It owns a goroutine,
// because who reads sarama's errors must not wait for its input. What waits
// here is bounded by what was sent and has not been acknowledged.
type resend struct {
	p    *Producer
	one  atomic.Pointer[lane] // one message a request; made on first use
	wake chan struct{}        // capacity 1
	end  chan struct{}
	done sync.WaitGroup

	mu   sync.Mutex
	todo []retry
}

type retry struct {
	m     *sarama.ProducerMessage
	at    time.Time
	alone bool
}

const resendAfter = 250 * time.Millisecond

func newResend(p *Producer) *resend {
	r := &resend{p: p, wake: make(chan struct{}, 1), end: make(chan struct{})}
	r.done.Go(r.run)
	return r
}

// lane is the producer of single messages, nil if none was needed so far.
func (r *resend) lane() *lane { return r.one.Load() }

// alone sends m in a request of its own.
func (r *resend) alone(m *sarama.ProducerMessage) { r.add(retry{m: m, alone: true}) }

// later sends m the way it was sent, after a wait.
func (r *resend) later(m *sarama.ProducerMessage, now time.Time) {
	r.add(retry{m: m, at: now.Add(resendAfter)})
}

func (r *resend) add(t retry) {
	r.mu.Lock()
	r.todo = append(r.todo, t)
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
		wait := r.pass()
		timer.Reset(wait)
		select {
		case <-r.wake:
		case <-timer.C:
		case <-r.end:
			return
		}
	}
}

// pass sends what is due and says how long until the next is.
func (r *resend) pass() time.Duration {
	r.mu.Lock()
	todo := r.todo
	r.todo = nil
	r.mu.Unlock()

	now, closing := time.Now(), r.p.closing.Load()
	wait := time.Hour
	var early []retry
	for _, t := range todo {
		if left := t.at.Sub(now); left > 0 && !closing {
			early = append(early, t)
			wait = min(wait, left)
			continue
		}
		f := t.m.Metadata.(*flight)
		l := f.lane
		if t.alone {
			var err error
			if l, err = r.single(); err != nil {
				r.p.failed(t.m, err, now)
				continue
			}
		}
		l.send(t.m, f, time.Now())
	}
	if len(early) > 0 {
		r.mu.Lock()
		r.todo = append(early, r.todo...)
		r.mu.Unlock()
	}
	return wait
}

func (r *resend) single() (*lane, error) {
	if l := r.one.Load(); l != nil {
		return l, nil
	}
	l, err := r.p.newLane(func(c *sarama.Config) { c.Producer.Flush.MaxMessages = 1 })
	if err == nil {
		r.one.Store(l)
	}
	return l, err
}

// close is called when nothing is open any more.
func (r *resend) close() error {
	close(r.end)
	r.done.Wait()
	if l := r.one.Load(); l != nil {
		return l.close()
	}
	return nil
}
