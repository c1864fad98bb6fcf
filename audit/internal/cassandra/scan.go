package cassandra

import (
	"context"
	"fmt"
	"time"

	"github.com/scylladb/gocqlx/v2"
	"golang.org/x/sync/errgroup"

	"rrhost/audit/internal/trail"
)

const (
	// maxSteps is how many buckets one call looks into, each in all shards.
	maxSteps = 150
	// scanBound is how many rows one call looks at.
	scanBound = 20_000
	pageSize  = 256
)

// ByTime answers a part of q: it reads bucket by bucket, all shards of one at a
// time, and merges them. Paging is by the last row's place and never by the
// driver's own paging state, which is tied to version and statement.
func (s *Store) ByTime(ctx context.Context, q trail.Query) (trail.Page, error) {
	page, err := s.byTime(ctx, q)
	if err == nil && q.Payloads {
		err = s.complete(ctx, page.Rows)
	}
	if err != nil {
		return trail.Page{}, fmt.Errorf("cassandra: by time: %w", err)
	}
	return page, nil
}

func (s *Store) byTime(ctx context.Context, q trail.Query) (trail.Page, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	from, to := s.clip(q)
	var page trail.Page
	scanned, steps := 0, 0
	for st := range s.layouts.steps(from, to, q.Oldest) {
		if steps == maxSteps {
			// What comes next is all of this bucket; a key without topic stands
			// before all rows of its time.
			page.Next = &trail.Key{Time: st.to.UnixMilli()}
			if q.Oldest {
				page.Next.Time = st.from.UnixMilli()
			}
			return page, nil
		}
		steps++
		m, err := s.openBucket(ctx, st, q)
		if err != nil {
			return page, err
		}
		for {
			r, ok, err := m.next()
			if err != nil {
				return page, err
			}
			if !ok {
				break
			}
			scanned++
			if q.Matches(&r) {
				page.Rows = append(page.Rows, r)
			}
			if len(page.Rows) == q.Limit || scanned == scanBound {
				m.close()
				at := r.At()
				page.Next = &at
				return page, nil
			}
		}
	}
	return page, nil
}

// clip leaves out times of which there can be no rows: before the retention,
// after the clock with what the ingester allows for, or beyond the page before.
func (s *Store) clip(q trail.Query) (from, to time.Time) {
	from, to = q.From, q.To
	now := s.now()
	if oldest := now.Add(-s.ttl - time.Hour).Truncate(time.Millisecond); s.ttl > 0 && from.Before(oldest) {
		from = oldest
	}
	if newest := now.Add(2 * time.Hour).Truncate(time.Millisecond); to.After(newest) {
		to = newest
	}
	if k := q.After; k != nil {
		at := time.UnixMilli(k.Time).UTC()
		if q.Oldest && at.After(from) {
			from = at
		}
		if at = at.Add(time.Millisecond); !q.Oldest && at.Before(to) {
			to = at
		}
	}
	return from, to
}

// A merge gives the rows of all shards of a bucket in one order.
type merge struct {
	oldest  bool
	streams []*stream
}

// A stream is one shard of a bucket.
type stream struct {
	iter *gocqlx.Iterx
	head trail.Row
	done bool
}

func (s *Store) openBucket(ctx context.Context, st step, q trail.Query) (*merge, error) {
	m := &merge{oldest: q.Oldest, streams: make([]*stream, st.shards)}
	text, bounds := slice(st, q)
	var group errgroup.Group
	group.SetLimit(lookups)
	for shard := range st.shards {
		group.Go(func() error {
			query := s.session.ContextQuery(ctx, selectByTime+text, nil).Bind(append([]any{st.bucket, shard}, bounds...)...)
			f := &stream{iter: query.Iter()} // waits for the first page
			m.streams[shard] = f
			return f.advance()
		})
	}
	if err := group.Wait(); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// slice is the part of a bucket's rows that is asked for: one lower and one
// upper bound, which is all that CQL takes.
func slice(st step, q trail.Query) (text string, bounds []any) {
	lower, upper := "(ts) >= (?)", "(ts) < (?)"
	low, high := []any{st.from.UnixMilli()}, []any{st.to.UnixMilli()}
	if k := q.After; k != nil {
		at := []any{k.Time, k.Topic, k.Partition, k.Offset}
		if q.Oldest && k.Time >= st.from.UnixMilli() {
			lower, low = "(ts, topic, part, off) > (?,?,?,?)", at
		}
		if !q.Oldest && k.Time < st.to.UnixMilli() {
			upper, high = "(ts, topic, part, off) < (?,?,?,?)", at
		}
	}
	text = lower + " AND " + upper
	if q.Oldest {
		text += " ORDER BY ts ASC, topic ASC, part ASC, off ASC"
	}
	return text, append(low, high...)
}

// next returns the first row of all streams; the shards are few, so it looks at
// each.
func (m *merge) next() (trail.Row, bool, error) {
	var first *stream
	for _, f := range m.streams {
		if f.done {
			continue
		}
		if first == nil || (f.head.At().Compare(first.head.At()) < 0) == m.oldest {
			first = f
		}
	}
	if first == nil {
		return trail.Row{}, false, nil
	}
	r := first.head
	if err := first.advance(); err != nil {
		m.close()
		return trail.Row{}, false, err
	}
	return r, true, nil
}

func (m *merge) close() {
	for _, f := range m.streams {
		if f != nil && !f.done {
			f.done = true
			f.iter.Close()
		}
	}
}

func (f *stream) advance() error {
	var r record
	if f.iter.StructScan(&r) {
		f.head = r.row()
		return nil
	}
	f.done = true
	return f.iter.Close()
}
