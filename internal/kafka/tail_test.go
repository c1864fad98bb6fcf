package kafka

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rrhost/config"
)

// reading is a running Tail and what it read.
type reading struct {
	*Tail
	mu     sync.Mutex
	values []string
}

func tail(t *testing.T, cfg config.Config) *reading {
	t.Helper()
	tl, err := NewTail(cfg, "t")
	if err != nil {
		t.Fatal(err)
	}
	r := &reading{Tail: tl}
	var ran sync.WaitGroup
	ran.Go(func() {
		tl.Run(func(m *sarama.ConsumerMessage) {
			r.mu.Lock()
			r.values = append(r.values, string(m.Value))
			r.mu.Unlock()
		})
	})
	t.Cleanup(func() {
		for range 2 {
			if err := tl.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		}
		ran.Wait()
	})
	return r
}

func (r *reading) has(value string) func() bool {
	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.Contains(r.values, value)
	}
}

// write sends values to a partition, in order.
func write(t *testing.T, p *Producer, partition int32, values ...string) {
	t.Helper()
	for _, v := range values {
		r := newResults(t)
		p.SendTo(partition, message("t", nil, []byte(v)), 0, r.done(0))
		r.all()
		if r.errs[0] != nil {
			t.Fatal(r.errs[0])
		}
	}
}

// Nothing that is written after NewTail returned is missed, and nothing from
// before is read.
func TestTailIsPositionedWhenOpen(t *testing.T) {
	_, cfg := broker(t, kfake.SeedTopics(1, "t"))
	p := producer(t, cfg)
	write(t, p, 0, "before")
	tl, err := NewTail(cfg, "t")
	if err != nil {
		t.Fatal(err)
	}
	write(t, p, 0, "after 1", "after 2") // before Run
	var got []string
	var ran sync.WaitGroup
	ran.Go(func() {
		tl.Run(func(m *sarama.ConsumerMessage) {
			if got = append(got, string(m.Value)); len(got) == 2 {
				go tl.Close()
			}
		})
	})
	ran.Wait()
	if err := tl.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if !slices.Equal(got, []string{"after 1", "after 2"}) {
		t.Errorf("read %q", got)
	}
}

// The whole of a topic: what is left of it, and what comes.
func TestWhole(t *testing.T) {
	c, cfg := broker(t, kfake.SeedTopics(2, "t"))
	p := producer(t, cfg)
	write(t, p, 1, "of another partition")
	write(t, p, 0, "trimmed", "before 1", "before 2")
	if err := c.DeleteRecords("t", 0, 1); err != nil {
		t.Fatal(err)
	}
	tl, err := NewWhole(cfg, "t")
	if err != nil {
		t.Fatal(err)
	}
	if tl.Begin() != 1 || tl.End() != 3 || tl.Partition() != 0 {
		t.Errorf("partition %d from %d to %d, want 0 from 1 to 3", tl.Partition(), tl.Begin(), tl.End())
	}
	write(t, p, 0, "after")
	var got []string
	var ran sync.WaitGroup
	ran.Go(func() {
		tl.Run(func(m *sarama.ConsumerMessage) {
			if got = append(got, string(m.Value)); len(got) == 3 {
				go tl.Close()
			}
		})
	})
	ran.Wait()
	if err := tl.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if !slices.Equal(got, []string{"before 1", "before 2", "after"}) {
		t.Errorf("read %q", got)
	}
}

func TestTailSpreads(t *testing.T) {
	_, cfg := broker(t, kfake.SeedTopics(4, "t"))
	seen := map[int32]bool{}
	for range 24 {
		tl, err := NewTail(cfg, "t")
		if err != nil {
			t.Fatal(err)
		}
		seen[tl.Partition()] = true
		if err := tl.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 4 {
		t.Errorf("24 readers are on %d of 4 partitions", len(seen))
	}
}

func TestTailMissingTopic(t *testing.T) {
	_, cfg := broker(t)
	_, err := NewTail(cfg, "t")
	if !errors.Is(err, sarama.ErrUnknownTopicOrPartition) || !strings.Contains(err.Error(), "topic t") {
		t.Errorf("NewTail = %v", err)
	}
}

// held makes every fetch fail until the returned function is called.
func held(c *kfake.Cluster) (release func()) {
	var once sync.Once
	end := make(chan struct{})
	c.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-end:
			c.DropControl()
			return nil, nil, false
		default:
			c.KeepControl()
			return nil, errors.New("no fetch now"), true
		}
	})
	return func() { once.Do(func() { close(end) }) }
}

// A log trimmed under the reader: it goes on with the first record that is
// left, and misses none of those.
func TestTailTrimmed(t *testing.T) {
	c, cfg := broker(t, kfake.SeedTopics(1, "t"))
	p := producer(t, cfg)
	release := held(c)
	r := tail(t, cfg)
	for i := range 10 {
		write(t, p, 0, fmt.Sprint(i))
	}
	if err := c.DeleteRecords("t", 0, 7); err != nil {
		t.Fatal(err)
	}
	release()
	until(t, "the last record", r.has("9"))
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.values, []string{"7", "8", "9"}) || r.Repositioned() != 1 {
		t.Errorf("read %q, repositioned %d times", r.values, r.Repositioned())
	}
}

// A topic made anew under the reader starts at 0 again, below its position.
func TestTailTopicMadeAnew(t *testing.T) {
	c, cfg := broker(t, kfake.SeedTopics(1, "t"))
	p := producer(t, cfg)
	r := tail(t, cfg)
	for i := range 5 {
		write(t, p, 0, fmt.Sprint("old ", i))
	}
	until(t, "the old records", r.has("old 4"))
	if err := c.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic("t", 1, nil); err != nil {
		t.Fatal(err)
	}
	p2 := producer(t, cfg)
	write(t, p2, 0, "new 0", "new 1")
	until(t, "the new records", r.has("new 1"))
	if !r.has("new 0")() {
		t.Error("the first new record was missed")
	}
}

func TestTailFollowsLeader(t *testing.T) {
	c, cfg := broker(t, kfake.NumBrokers(3), kfake.SeedTopics(1, "t"))
	p := producer(t, cfg)
	r := tail(t, cfg)
	for i := range 8 {
		v := fmt.Sprint(i)
		write(t, p, 0, v)
		until(t, v, r.has(v))
		if err := c.MoveTopicPartition("t", 0, (c.LeaderFor("t", 0)+1)%3); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.values) != 8 {
		t.Errorf("read %q, want each record once", r.values)
	}
}
