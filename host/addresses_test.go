package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"
	"github.com/hashicorp/go-hclog"
)

// asking is addresses for rr.replies that run until the test ends.
func asking(t *testing.T, partitions func(string) ([]int32, error)) *addresses {
	t.Helper()
	a, err := newAddresses([]string{"rr.replies"}, partitions, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { a.run(ctx) })
	t.Cleanup(func() {
		cancel()
		run.Wait()
	})
	return a
}

func TestAddressesForReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var count, asked atomic.Int32
		var fails atomic.Bool
		count.Store(2)
		a := asking(t, func(string) ([]int32, error) {
			asked.Add(1)
			if fails.Load() {
				return nil, errors.New("no leader")
			}
			return make([]int32, count.Load()), nil
		})

		for _, tt := range []struct {
			topic     string
			partition int32
			want      bool
		}{{"rr.replies", 0, true}, {"rr.replies", 1, true}, {"rr.replies", 2, false}, {"rr.replies", -1, false}, {"payments", 0, false}, {"", 0, false}} {
			if got := a.has(tt.topic, tt.partition); got != tt.want {
				t.Errorf("has(%q, %d) = %v", tt.topic, tt.partition, got)
			}
		}
		for _, q := range []question{{topic: "rr.replies", partition: -1}, {topic: "payments"}} {
			answer := make(chan bool, 1)
			a.ask(q.topic, q.partition, time.Now(), time.Now().Add(time.Hour), func(exists bool) { answer <- exists })
			if <-answer {
				t.Errorf("%s/%d exists", q.topic, q.partition)
			}
		}
		synctest.Wait()
		if n := asked.Load(); n != 1 {
			t.Errorf("the broker was asked %d times, want once, at the start", n)
		}

		// The broker is away for a while, and then the topic has grown.
		fails.Store(true)
		var yes, no atomic.Int32
		for range 1000 {
			a.ask("rr.replies", 3, time.Now(), time.Now().Add(time.Hour), func(exists bool) {
				if exists {
					yes.Add(1)
				}
			})
			a.ask("rr.replies", 9999, time.Now(), time.Now().Add(time.Hour), func(exists bool) {
				if !exists {
					no.Add(1)
				}
			})
		}
		time.Sleep(2*askAgain + askAgain/2)
		if !a.has("rr.replies", 1) || yes.Load()+no.Load() > 0 {
			t.Error("a question that fails is taken for an answer")
		}
		if n := asked.Load(); n != 4 {
			t.Errorf("the broker was asked %d times in %s, want 4", n, 2*askAgain+askAgain/2)
		}
		fails.Store(false)
		count.Store(4)
		time.Sleep(askAgain)
		if yes.Load() != 1000 || no.Load() != 1000 || !a.has("rr.replies", 3) {
			t.Errorf("%d of 1000 were told of the partition that was added, and %d of 1000 that there is no other", yes.Load(), no.Load())
		}
		if n := asked.Load(); n != 5 {
			t.Errorf("the broker was asked %d times, want 5", n)
		}

		// What was received before it was asked is answered at once, and what it does
		// not answer at the deadline.
		late := make(chan bool, 1)
		a.ask("rr.replies", 9999, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), func(exists bool) { late <- exists })
		if len(late) == 0 || <-late {
			t.Error("it is asked again for what it has answered")
		}
		fails.Store(true)
		begun := time.Now()
		a.ask("rr.replies", 9999, time.Now(), time.Now().Add(10*time.Second), func(exists bool) { late <- exists })
		if exists := <-late; exists || time.Since(begun) < 9*time.Second || time.Since(begun) > 12*time.Second {
			t.Errorf("%v after %s, want no after 10 s", exists, time.Since(begun))
		}
	})
}

func TestAddressesNeedTheTopic(t *testing.T) {
	_, err := newAddresses([]string{"gone"}, func(string) ([]int32, error) { return nil, errors.New("unknown topic") }, hclog.NewNullLogger())
	if err == nil {
		t.Error("a host must not start without knowing its reply topics: it would refuse every request")
	}
}

// A reply topic that is deleted while the host runs has no more partitions than
// were known: requests that name another one must not wait for it for ever.
func TestAddressesOfATopicThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gone atomic.Bool
		a := asking(t, func(string) ([]int32, error) {
			if gone.Load() {
				return nil, fmt.Errorf("ask: %w", sarama.ErrUnknownTopicOrPartition)
			}
			return make([]int32, 2), nil
		})
		gone.Store(true)
		answer := make(chan bool, 1)
		a.ask("rr.replies", 2, time.Now(), time.Now().Add(time.Hour), func(exists bool) { answer <- exists })
		select {
		case exists := <-answer:
			if exists {
				t.Error("a partition of a topic that is gone exists")
			}
		case <-time.After(time.Minute):
			t.Error("no answer")
		}
	})
}
