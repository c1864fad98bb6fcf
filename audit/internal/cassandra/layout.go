package cassandra

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/scylladb/gocqlx/v2"

	"rrhost/audit/internal/trail"
	"rrhost/config"
)

// Defaults of a layout, for a configuration that names none.
const (
	defaultBucket = 10 * time.Minute
	defaultShards = 16
)

// layoutName is the one layout there is; the table has room for others.
const layoutName = "by_time"

// ErrNotMigrated is returned where the tables are missing or older than needed.
var ErrNotMigrated = errors.New("the keyspace is not migrated")

// A layout says in which partition of by_time a row stands, from a time on. It
// is fixed by whoever makes the tables: were it read from each host's own
// configuration, two hosts that differ would not find each other's rows.
type layout struct {
	since  time.Time
	bucket time.Duration
	shards int
}

// layouts are in the order of their time; the first has no beginning.
type layouts []layout

func wantedLayout(cfg config.Config) layout {
	l := layout{since: time.UnixMilli(0).UTC(), bucket: cfg.Audit.Cassandra.Bucket, shards: cfg.Audit.Cassandra.Shards}
	if l.bucket <= 0 {
		l.bucket = defaultBucket
	}
	if l.shards <= 0 {
		l.shards = defaultShards
	}
	return l
}

func loadLayouts(ctx context.Context, session gocqlx.Session) (layouts, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var found []struct {
		Since    time.Time
		BucketMS int64 `db:"bucket_ms"`
		Shards   int
	}
	q := session.ContextQuery(ctx, "SELECT since, bucket_ms, shards FROM layout WHERE name = ?", []string{"name"}).Bind(layoutName)
	if err := q.SelectRelease(&found); err != nil {
		return nil, fmt.Errorf("cassandra: layout: %w", err)
	}
	var ls layouts
	for _, f := range found {
		if f.BucketMS < 1 || f.Shards < 1 {
			return nil, fmt.Errorf("cassandra: layout since %s makes no sense: bucket %d ms, %d shards", f.Since, f.BucketMS, f.Shards)
		}
		ls = append(ls, layout{f.Since, time.Duration(f.BucketMS) * time.Millisecond, f.Shards})
	}
	if len(ls) == 0 {
		return nil, fmt.Errorf("cassandra: %w: it has no layout", ErrNotMigrated)
	}
	return ls, nil
}

// saveFirst writes the first layout unless there is one.
func (l layout) saveFirst(ctx context.Context, session gocqlx.Session) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err := session.ContextQuery(ctx, "INSERT INTO layout (name, since, bucket_ms, shards) VALUES (?,?,?,?) IF NOT EXISTS", nil).
		Bind(layoutName, l.since, l.bucket.Milliseconds(), l.shards).MapScanCAS(map[string]any{})
	if err != nil {
		return fmt.Errorf("cassandra: layout: %w", err)
	}
	return nil
}

func (ls layouts) at(t time.Time) layout {
	for _, l := range slices.Backward(ls) {
		if !t.Before(l.since) {
			return l
		}
	}
	return ls[0]
}

// A place is one partition of by_time.
type place struct {
	bucket int64 // Unix milliseconds of its beginning
	shard  int
}

func (ls layouts) placeOf(r *trail.Row) place {
	l := ls.at(r.Time)
	return place{r.Time.Truncate(l.bucket).UnixMilli(), int(max(r.Partition, 0)) % l.shards}
}

// A step of a range query is a bucket, and what of it is in the range.
type step struct {
	bucket   int64
	shards   int
	from, to time.Time // from <= row < to
}

// steps are the buckets from one time to another, newest or oldest first.
func (ls layouts) steps(from, to time.Time, oldest bool) iter.Seq[step] {
	return func(yield func(step) bool) {
		for from.Before(to) {
			at := to.Add(-time.Millisecond)
			if oldest {
				at = from
			}
			l := ls.at(at)
			begin := at.Truncate(l.bucket)
			s := step{bucket: begin.UnixMilli(), shards: l.shards, from: begin, to: begin.Add(l.bucket)}
			for _, o := range ls[1:] { // a change of layout may cut a bucket
				if o.since.After(at) && o.since.Before(s.to) {
					s.to = o.since
				}
				if !o.since.After(at) && o.since.After(s.from) {
					s.from = o.since
				}
			}
			if s.from.Before(from) {
				s.from = from
			}
			if s.to.After(to) {
				s.to = to
			}
			if !yield(s) {
				return
			}
			if oldest {
				from = s.to
			} else {
				to = s.from
			}
		}
	}
}
