package embedded

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rrhost/internal/kafka"
)

// trimEvery is the time between two passes of the trimmer. In it, a log may
// grow over its bound.
const trimEvery = 10 * time.Second

// segmentBytes is the size at which a partition's log goes on in a new file,
// for a bound of so many bytes per topic: files are what leaves the disk.
func segmentBytes(bound int64) int64 {
	return min(max(bound/64, 64<<10), 16<<20)
}

// A trimmer keeps the log within its bounds of age and size, and so also the
// broker's memory: its index takes about 80 bytes a batch, which is a quarter
// of the smallest request.
//
// It never takes the newest batch of a partition, for kfake knows the next
// offset only by that. Nor does it leave anything to be written down: kfake
// keeps the log's start in memory, and after a kill takes the first record on
// disk for it. Where that is older, the next pass at start trims again; the
// end of the log, which commits and producers count on, is the same always.
type trimmer struct {
	cluster   *kfake.Cluster
	dir       string // kfake's folder of partitions
	retention time.Duration
	bytes     int64         // per topic
	control   string        // the control topic, which is kept for less time
	every     time.Duration // between two passes
	logger    hclog.Logger
}

// run trims until ctx is done.
func (t *trimmer) run(ctx context.Context) {
	tick := time.NewTicker(t.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			t.pass(now)
		}
	}
}

// pass trims every partition once. A partition that fails is logged, and
// tried again by the next pass.
func (t *trimmer) pass(now time.Time) {
	topics, err := readTopics(t.dir)
	if err != nil {
		t.logger.Warn("the log is not trimmed", "error", err)
		return
	}
	for topic, logs := range topics {
		starts := oldestWithin(logs, t.bytes)
		oldest := now.Add(-t.retention)
		if topic == t.control { // its readers begin at its beginning
			oldest = now.Add(-min(t.retention, kafka.ControlRetention))
		}
		for i, log := range logs {
			if err := t.trim(topic, log, starts[i], oldest); err != nil {
				t.logger.Warn("a partition is not trimmed", "topic", topic, "partition", log.partition, "error", err)
			}
		}
	}
}

// trim drops what lies before start, and what is from before oldest.
func (t *trimmer) trim(topic string, log partitionLog, start int64, oldest time.Time) error {
	expired, err := log.firstFrom(oldest)
	if err != nil {
		return err
	}
	info := t.cluster.PartitionInfo(topic, log.partition)
	if info == nil {
		return nil // the topic was deleted
	}
	start = min(max(start, expired), info.HighWatermark-1)
	if start <= info.LogStartOffset {
		return nil
	}
	if err := t.cluster.DeleteRecords(topic, log.partition, start); err != nil {
		return err
	}
	t.logger.Debug("trimmed", "topic", topic, "partition", log.partition, "from", info.LogStartOffset, "to", start)
	return nil
}

// oldestWithin returns for each log of a topic the offset from which to keep
// it, so that together they are within bound, as far as whole files allow. The
// oldest files go first; the newest of each partition, which may be written
// to, stays.
func oldestWithin(logs []partitionLog, bound int64) []int64 {
	var total int64
	for _, log := range logs {
		for _, s := range log.segments {
			total += s.size
		}
	}
	starts := make([]int64, len(logs))
	dropped := make([]int, len(logs)) // files, of each log
	for total > bound {
		oldest := -1
		for i, log := range logs {
			if dropped[i]+1 >= len(log.segments) {
				continue
			}
			if oldest < 0 || log.segments[dropped[i]].modified.Before(logs[oldest].segments[dropped[oldest]].modified) {
				oldest = i
			}
		}
		if oldest < 0 {
			break
		}
		total -= logs[oldest].segments[dropped[oldest]].size
		dropped[oldest]++
		starts[oldest] = logs[oldest].segments[dropped[oldest]].base
	}
	return starts
}

// keepNewest holds a client's DeleteRecords to the trimmer's rule: the newest
// record stays, so that a restart knows the next offset.
func keepNewest(cluster *kfake.Cluster) {
	cluster.ControlKey(kmsg.DeleteRecords.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		for _, topic := range req.(*kmsg.DeleteRecordsRequest).Topics {
			for i := range topic.Partitions {
				p := &topic.Partitions[i]
				info := cluster.PartitionInfo(topic.Topic, p.Partition)
				if info == nil || info.HighWatermark == 0 {
					continue
				}
				if newest := info.HighWatermark - 1; p.Offset == -1 || p.Offset == info.HighWatermark {
					p.Offset = max(newest, info.LogStartOffset)
				}
			}
		}
		return nil, nil, false
	})
}
