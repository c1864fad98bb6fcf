package embedded

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"rrhost/config"
	"rrhost/internal/kafka"
)

// Why trimming is our own. Should this test fail after an update of kfake, its
// retention no longer loses offsets, and the trimmer may go.
func TestKfakesRetentionSetsOffsetsBack(t *testing.T) {
	dir := t.TempDir()
	run := func(f func(*kfake.Cluster, *kgo.Client)) {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(dir))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		c, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f(cluster, c)
	}
	retention := "1"
	run(func(cluster *kfake.Cluster, c *kgo.Client) {
		createTopic(t, c, "t", 1, map[string]*string{"retention.ms": &retention})
		for range 10 {
			produce(t, c, "t", 0, "request", time.Now().Add(-time.Hour))
		}
		commit(t, c, "workers", "t", 0, 10)
		cluster.ApplyRetention()
		if begin, end := offsets(t, c, "t", 0); begin != 10 || end != 10 {
			t.Fatalf("after retention the log is %d to %d, want it empty at 10", begin, end)
		}
	})
	run(func(_ *kfake.Cluster, c *kgo.Client) {
		if next := produce(t, c, "t", 0, "request", time.Now()); next != 0 {
			t.Errorf("after a restart the next offset is %d, want the trap: 0", next)
		}
		if at := committed(t, c, "workers", "t", 0); at != 10 {
			t.Errorf("the group is at %d, want the trap: 10, which skips ten requests", at)
		}
	})
}

func TestRetentionKeepsOffsetsOverARestart(t *testing.T) {
	const group, topic = "workers", "calculate"
	// After each of these the log's end and the group's place are what they were.
	restarts := map[string]func(t *testing.T, cfg *config.Config){
		"closed": func(t *testing.T, cfg *config.Config) {
			b := start(t, cfg)
			b.trimmer.pass(time.Now())
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		},
		"killed": func(t *testing.T, cfg *config.Config) {
			_, kill := startChild(t, cfg) // trims as it starts
			kill()
		},
		"closed, then killed": func(t *testing.T, cfg *config.Config) {
			if err := start(t, cfg).Close(); err != nil {
				t.Fatal(err)
			}
			_, kill := startChild(t, cfg)
			kill()
		},
	}
	for name, restart := range restarts {
		t.Run(name, func(t *testing.T) {
			cfg := settings(t)
			cfg.Embedded.Listen = freePort(t)
			first := start(t, &cfg)
			c := client(t, cfg)
			createTopic(t, c, topic, 2, nil)
			longAgo := time.Now().Add(-2 * cfg.WithDefaults().Embedded.Retention)
			for i := range 10 {
				produce(t, c, topic, 0, strconv.Itoa(i), longAgo)
			}
			produce(t, c, topic, 1, "today's", time.Now())
			commit(t, c, group, topic, 0, 10)
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}

			restart(t, &cfg)

			start(t, &cfg)
			if begin, end := offsets(t, c, topic, 0); begin != 9 || end != 10 {
				t.Errorf("the expired partition is %d to %d, want the newest record alone: 9 to 10", begin, end)
			}
			if begin, end := offsets(t, c, topic, 1); begin != 0 || end != 1 {
				t.Errorf("the other partition is %d to %d, want it untouched: 0 to 1", begin, end)
			}
			if at := committed(t, c, group, topic, 0); at != 10 {
				t.Errorf("the group is at %d, want 10", at)
			}
			if next := produce(t, c, topic, 0, "next", time.Now()); next != 10 {
				t.Errorf("the next record got offset %d, want 10", next)
			}
			worker := client(t, cfg, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic))
			var got []string
			for len(got) < 2 {
				fetched := worker.PollFetches(within(t))
				if err := fetched.Err(); err != nil {
					t.Fatal(err)
				}
				fetched.EachRecord(func(r *kgo.Record) {
					got = append(got, fmt.Sprintf("%d/%d %s", r.Partition, r.Offset, r.Value))
				})
			}
			if len(got) != 2 || got[0] == got[1] || got[0] != "0/10 next" && got[1] != "0/10 next" {
				t.Errorf("the group reads %q, want the next record and the other partition's", got)
			}
		})
	}
}

func TestBytesBoundsATopic(t *testing.T) {
	const bound = 1 << 20
	cfg := settings(t)
	cfg.Embedded.RetentionBytes = bound
	b := start(t, &cfg)
	c := client(t, cfg)
	createTopic(t, c, "big", 3, nil)
	createTopic(t, c, "small", 1, nil)
	for i := range 300 {
		produce(t, c, "big", int32(i%3), string(make([]byte, 10_000)), time.Now())
	}
	produce(t, c, "small", 0, "one", time.Now())

	b.trimmer.pass(time.Now())

	var total int64
	for _, info := range b.cluster.PartitionInfos("big") {
		total += info.NumBytes
		if info.HighWatermark != 100 {
			t.Errorf("partition %d ends at %d, want 100", info.Partition, info.HighWatermark)
		}
		if info.LogStartOffset == 0 {
			t.Errorf("partition %d begins at 0: the oldest of every partition is to go", info.Partition)
		}
	}
	// Whole files go, and the newest of each partition never does.
	if slack := 4 * segmentBytes(bound); total > bound || total < bound-slack {
		t.Errorf("%d bytes are kept, want at most %d, and not much less", total, bound)
	}
	if begin, end := offsets(t, c, "small", 0); begin != 0 || end != 1 {
		t.Errorf("the small topic is %d to %d, want 0 to 1", begin, end)
	}

	// What is left is whole, and on disk: a new process reads the same.
	before := map[int32]int64{}
	for _, info := range b.cluster.PartitionInfos("big") {
		before[info.Partition] = info.LogStartOffset
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, kill := startChild(t, &cfg)
	defer kill()
	c = client(t, cfg)
	for partition, begin := range before {
		if b, e := offsets(t, c, "big", partition); b != begin || e != 100 {
			t.Errorf("partition %d is %d to %d after a restart, want %d to 100", partition, b, e, begin)
		}
	}
}

// The control topic is read from its beginning, so there is little of it.
func TestControlTopicIsKeptShort(t *testing.T) {
	cfg := settings(t)
	b := start(t, &cfg)
	c := client(t, cfg)
	old := time.Now().Add(-kafka.ControlRetention - time.Minute)
	for _, topic := range []string{config.DefaultControlTopic, "other"} {
		createTopic(t, c, topic, 1, nil)
		for i := range 3 {
			produce(t, c, topic, 0, strconv.Itoa(i), old)
		}
		produce(t, c, topic, 0, "new", time.Now())
	}
	b.trimmer.pass(time.Now())
	if begin, end := offsets(t, c, config.DefaultControlTopic, 0); begin != 3 || end != 4 {
		t.Errorf("the control topic is %d to %d, want 3 to 4", begin, end)
	}
	if begin, end := offsets(t, c, "other", 0); begin != 0 || end != 4 {
		t.Errorf("the other topic is %d to %d, want 0 to 4", begin, end)
	}
}

func TestTrimmerRuns(t *testing.T) {
	cfg := settings(t)
	b := start(t, &cfg)
	c := client(t, cfg)
	createTopic(t, c, "t", 1, nil)
	for range 3 {
		produce(t, c, "t", 0, "old", time.Now().Add(-2*cfg.WithDefaults().Embedded.Retention))
	}
	quick := *b.trimmer
	quick.every = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { quick.run(ctx) })
	defer run.Wait()
	defer cancel()
	for end := time.Now().Add(30 * time.Second); b.cluster.PartitionInfo("t", 0).LogStartOffset != 2; {
		if time.Now().After(end) {
			t.Fatal("not trimmed in 30 s")
		}
	}
}

// A client that deletes all records must not set the offsets back either.
func TestClientCannotEmptyAPartition(t *testing.T) {
	for name, upTo := range map[string]int64{"to the end": -1, "to the end's offset": 3} {
		t.Run(name, func(t *testing.T) {
			cfg := settings(t)
			b := start(t, &cfg)
			c := client(t, cfg)
			createTopic(t, c, "t", 1, nil)
			for range 3 {
				produce(t, c, "t", 0, "x", time.Now())
			}
			var all kadm.Offsets
			all.AddOffset("t", 0, upTo, -1)
			deleted, err := kadm.NewClient(c).DeleteRecords(within(t), all)
			if err != nil {
				t.Fatal(err)
			}
			if at, _ := deleted.Lookup("t", 0); at.Err != nil || at.LowWatermark != 2 {
				t.Errorf("deleted up to %d, %v; want 2, for the newest stays", at.LowWatermark, at.Err)
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			cfg.Embedded.Listen = "127.0.0.1:0"
			start(t, &cfg)
			if next := produce(t, client(t, cfg), "t", 0, "x", time.Now()); next != 3 {
				t.Errorf("the next record got offset %d, want 3", next)
			}
		})
	}
}

func TestOldestWithin(t *testing.T) {
	at := func(minute int) time.Time { return time.Unix(int64(minute)*60, 0) }
	logs := []partitionLog{
		{partition: 0, segments: []segment{
			{base: 0, size: 10, modified: at(1)}, {base: 5, size: 10, modified: at(4)}, {base: 9, size: 10, modified: at(6)},
		}},
		{partition: 1, segments: []segment{
			{base: 0, size: 10, modified: at(2)}, {base: 7, size: 10, modified: at(3)}, {base: 8, size: 10, modified: at(5)},
		}},
		{partition: 2, segments: []segment{{base: 3, size: 10, modified: at(0)}}},
	}
	tests := []struct {
		bound int64
		want  []int64
	}{
		{70, []int64{0, 0, 0}}, // all fit
		{69, []int64{5, 0, 0}}, // not partition 2's, though it is older: its newest
		{60, []int64{5, 0, 0}},
		{50, []int64{5, 7, 0}},
		{40, []int64{5, 8, 0}},
		{0, []int64{9, 8, 0}},
	}
	for _, tt := range tests {
		if got := oldestWithin(logs, tt.bound); fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("oldestWithin(%d) = %v, want %v", tt.bound, got, tt.want)
		}
	}
}
