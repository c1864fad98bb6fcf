package host

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

func TestAddressesForReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var count, asked atomic.Int32
		var fails atomic.Bool
		count.Store(2)
		a, err := newAddresses([]string{"rr.replies"}, func(string) ([]int32, error) {
			asked.Add(1)
			if fails.Load() {
				return nil, errors.New("no leader")
			}
			return make([]int32, count.Load()), nil
		}, hclog.NewNullLogger())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { a.run(ctx) })
		defer run.Wait()
		defer cancel()

		for _, tt := range []struct {
			topic     string
			partition int32
			want      bool
		}{{"rr.replies", 0, true}, {"rr.replies", 1, true}, {"rr.replies", -1, false}, {"payments", 0, false}, {"", 0, false}} {
			if got := a.allowed(tt.topic, tt.partition); got != tt.want {
				t.Errorf("allowed(%q, %d) = %v", tt.topic, tt.partition, got)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("the broker was asked %d times, want once, at the start", n)
		}

		fails.Store(true)
		a.allowed("rr.replies", 9999)
		synctest.Wait()
		if !a.allowed("rr.replies", 1) {
			t.Error("a question that fails takes back what was known")
		}
		fails.Store(false)
		count.Store(4)
		time.Sleep(askAgain)
		for range 1000 {
			a.allowed("rr.replies", 3)
		}
		synctest.Wait()
		if !a.allowed("rr.replies", 3) {
			t.Error("a partition that was added is not allowed")
		}
		if n := asked.Load(); n != 3 {
			t.Errorf("the broker was asked %d times, want 3", n)
		}
	})
}

func TestAddressesNeedTheTopic(t *testing.T) {
	_, err := newAddresses([]string{"gone"}, func(string) ([]int32, error) { return nil, errors.New("unknown topic") }, hclog.NewNullLogger())
	if err == nil {
		t.Error("a host must not start without knowing its reply topics: it would refuse every request")
	}
}
