package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"rrhost/config"
	"rrhost/internal/discovery"
	"rrhost/internal/kafka"
)

// existing knows the topics that are there. The first call to each asks the
// brokers: for a topic that is not, the call fails at once, and not after the
// seconds in which one may come up that is just being created.
type existing struct {
	check  func(topic string) error // blocks
	known  sync.Map                 // topic → struct{}
	asking singleflight.Group
}

// errLate ends a call whose time is over before it was sent.
var errLate = errors.New("too late to be sent")

// find returns an error if topic does not exist. It waits until that is known, or
// cannot be, which is for the producer to find out; [errLate] if ctx or the
// deadline is over before.
func (e *existing) find(ctx context.Context, deadline time.Time, topic string) error {
	if _, ok := e.known.Load(topic); ok {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	answer := e.asking.DoChan(topic, func() (any, error) {
		err := e.check(topic)
		if err == nil {
			e.known.Store(topic, struct{}{})
		}
		return nil, err
	})
	select {
	case a := <-answer:
		if errors.Is(a.Err, kafka.ErrNoTopic) {
			return a.Err
		}
	case <-ctx.Done():
		return errLate
	}
	return nil
}

// serving knows which topics hosts have announced, for [WithFailFast].
type serving struct {
	served discovery.Served
	reader *discovery.Reader
}

// openServing reads the control topic to its end, and goes on reading.
func openServing(ctx context.Context, cfg config.Config) (*serving, error) {
	s := new(serving)
	var err error
	if s.reader, err = discovery.Read(cfg, s.served.Add); err != nil {
		return nil, err
	}
	select {
	case <-s.reader.CaughtUp():
		return s, nil
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("read what hosts announce: %w", context.Cause(ctx)), s.reader.Close())
	}
}

// check returns an error for a topic that no host has announced lately. That is
// known only while the control topic is read.
func (s *serving) check(topic string) error {
	if s == nil {
		return nil
	}
	if now := time.Now(); s.served.Has(topic, now) || !s.reader.Knows(now) {
		return nil
	}
	return fmt.Errorf("%w %s in the last %s (hint: `rrclient topics` lists what is served; start a host that serves it)",
		ErrNotServed, topic, discovery.Lifetime)
}

func (s *serving) close() error {
	if s == nil {
		return nil
	}
	return s.reader.Close()
}
