package discovery

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"

	"rrhost/internal/kafka"
)

// said is what a publisher under test has sent: when, and what. A nil
// announcement is the goodbye.
type said struct {
	after time.Duration
	what  *Announcement
}

// stage is a publisher, what it announces, and a broker that takes it or not.
type stage struct {
	*Publisher
	t     *testing.T
	begun time.Time

	mu     sync.Mutex
	now    Announcement
	broken error
	said   []said
	failed []error
}

func newStage(t *testing.T) *stage {
	s := &stage{Publisher: NewPublisher(), t: t, begun: time.Now(), now: Announcement{
		Host: hostID, Topics: []Topic{{Name: "a", State: "starting"}},
	}}
	s.Topic = "rr.control"
	s.Now = func() Announcement {
		s.mu.Lock()
		defer s.mu.Unlock()
		a := s.now
		a.Topics = slices.Clone(a.Topics)
		return a
	}
	s.Failed = func(err error) { s.failed = append(s.failed, err) }
	s.Send = func(partition int32, m *sarama.ProducerMessage, _ int, done func(kafka.Ack, error)) {
		s.mu.Lock()
		defer s.mu.Unlock()
		key, err := m.Key.Encode()
		if err != nil || partition != 0 || m.Topic != "rr.control" || string(key) != hostID {
			t.Errorf("sent %+v to partition %d, %v", m, partition, err)
		}
		if s.broken != nil {
			done(kafka.Ack{}, s.broken)
			return
		}
		one := said{after: time.Since(s.begun)}
		if m.Value != nil {
			value, _ := m.Value.Encode()
			a, err := Decode(key, value)
			if err != nil {
				t.Error(err)
			}
			one.what = &a
		}
		s.said = append(s.said, one)
		done(kafka.Ack{}, nil)
	}
	return s
}

func (s *stage) change(do func(*Announcement)) {
	s.mu.Lock()
	do(&s.now)
	s.mu.Unlock()
	s.Changed()
}

// run runs the publisher while during does something.
func (s *stage) run(during func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	synctest.Wait()
	during()
	cancel()
	<-ended
}

func (s *stage) wantTimes(want ...time.Duration) {
	s.t.Helper()
	var got []time.Duration
	for _, one := range s.said {
		got = append(got, one.after)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("announced at %v, want %v", got, want)
	}
}

func TestPublisherAnnouncesOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.run(func() { time.Sleep(2*Period + time.Second) })
		s.wantTimes(0, Period, 2*Period, 2*Period+time.Second)
		if last := s.said[len(s.said)-1]; last.what != nil {
			t.Errorf("the last word is %+v, want a goodbye", last.what)
		}
		if len(s.failed) > 0 {
			t.Errorf("failed: %v", s.failed)
		}
	})
}

func TestPublisherAnnouncesChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.run(func() {
			time.Sleep(time.Second)
			// Several changes at once are one.
			s.change(func(a *Announcement) { a.Topics[0].State = "verified" })
			s.change(func(a *Announcement) { a.Topics[0].State = "ready" })
			time.Sleep(time.Second)
			// Counters alone are no news, nor is what changed back.
			s.change(func(a *Announcement) { a.Topics[0].Counters.Answered = map[string]int64{"ok": 1} })
			time.Sleep(time.Second)
			s.change(func(a *Announcement) { a.Topics[0].Version = "2" })
			time.Sleep(time.Second)
		})
		s.wantTimes(0, time.Second+settle, 3*time.Second+settle, 4*time.Second)
		if got := s.said[1].what.Topics[0].State; got != "ready" {
			t.Errorf("the change announced is %q", got)
		}
		if got := s.said[2].what.Topics[0].Counters.Answered["ok"]; got != 1 {
			t.Errorf("announced %d answers, want 1", got)
		}
	})
}

// A broker that is away is told once, and what was not announced is as soon as
// it can be.
func TestPublisherOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		away := errors.New("away")
		s.broken = away
		s.run(func() {
			time.Sleep(Period + time.Second)
			s.mu.Lock()
			s.broken = nil
			s.mu.Unlock()
			s.Changed() // nothing has, but it was not said yet
			time.Sleep(time.Second)
		})
		s.wantTimes(Period+time.Second+settle, Period+2*time.Second)
		if len(s.failed) != 1 || !errors.Is(s.failed[0], away) {
			t.Errorf("failed: %v, want the outage once", s.failed)
		}
	})
}

// The end of a host waits for its goodbye, and not for ever.
func TestPublisherEndsWithoutABroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.run(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.Send = func(int32, *sarama.ProducerMessage, int, func(kafka.Ack, error)) {} // no word ever comes
		})
		if took := time.Since(s.begun); took != goodbyeMost {
			t.Errorf("the end took %s, want %s", took, goodbyeMost)
		}
		if len(s.failed) != 1 || !errors.Is(s.failed[0], context.DeadlineExceeded) {
			t.Errorf("failed: %v", s.failed)
		}
	})
}
