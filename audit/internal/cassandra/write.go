package cassandra

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gocql/gocql"
	"golang.org/x/sync/errgroup"

	"rrhost/audit/internal/trail"
)

const (
	insertByID = `INSERT INTO by_id (request_id, type, topic, part, off, ts, request_topic, status, success, error,
	record_time, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id,
	kafka_key, reply_to, reply_partition, traceparent, tracestate, payload)
	VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) USING TTL ?`

	insertByTime = `INSERT INTO by_time (bucket, shard, ts, topic, part, off, type, request_id, request_topic, status, success, error,
	record_time, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end)
	VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) USING TTL ?`
)

const (
	// inFlight is how many statements of one write wait for Cassandra at once.
	inFlight = 256
	// maxBatch bounds a batch of by_time, in rows of at most about 1 KiB with
	// an error text in them: well below 1 MiB, and half a commit log segment is
	// where Cassandra refuses.
	maxBatch      = 500
	maxBatchBytes = 512 << 10
	// maxContent bounds payload and Kafka key of a row together, in bytes.
	// Cassandra refuses a row of half a commit log segment, 16 MiB unless
	// configured, and with it all that is read after. Where there is more, or
	// where a node refuses less, the row has neither, and says where they are in
	// Kafka.
	maxContent = 8 << 20
)

// Write stores rows and then positions. What it returns nil for is acknowledged
// at the configured consistency; after an error any part may be stored.
func (s *Store) Write(ctx context.Context, rows []trail.Row, positions []trail.Position) error {
	if err := s.write(ctx, rows, positions); err != nil {
		s.forgetPoints()
		return fmt.Errorf("cassandra: write: %w", err)
	}
	return nil
}

func (s *Store) write(ctx context.Context, rows []trail.Row, positions []trail.Position) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	now := s.now()
	kept := make([]*trail.Row, 0, len(rows))
	byID := make([]*trail.Row, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		if s.ttlOf(r, now) <= 0 { // it would be gone at once
			continue
		}
		kept = append(kept, r)
		if r.RequestID != "" {
			byID = append(byID, r)
		}
	}
	batches := s.batches(kept, now)
	// Batches first: they take longest.
	err := s.each(ctx, len(batches)+len(byID), func(ctx context.Context, i int) error {
		if i < len(batches) {
			return s.session.ExecuteBatch(batches[i].WithContext(ctx))
		}
		r := byID[i-len(batches)]
		err := s.insertByID(ctx, r, now)
		if tooLarge(err) {
			bare := *r
			bare.Key, bare.Payload = nil, nil
			err = s.insertByID(ctx, &bare, now)
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.writePositions(ctx, positions)
}

func (s *Store) insertByID(ctx context.Context, r *trail.Row, now time.Time) error {
	values, err := byIDValues(r)
	if err != nil {
		return err
	}
	return s.session.ContextQuery(ctx, insertByID, nil).Bind(append(values, s.ttlOf(r, now))...).ExecRelease()
}

// tooLarge tells whether a node refuses a statement for its size, before anything
// of it is stored. What is invalid otherwise has the same code, so its words are
// looked at: of Cassandra 5, first its limit of a mutation, then of a request.
func tooLarge(err error) bool {
	var refused gocql.RequestError
	return errors.As(err, &refused) && refused.Code() == gocql.ErrCodeInvalid &&
		(strings.Contains(refused.Message(), "oversized mutation") || strings.Contains(refused.Message(), "Request is too big"))
}

// ttlOf is retention less the row's age, in seconds: what is read late, or
// again, doesn't live longer for it.
func (s *Store) ttlOf(r *trail.Row, now time.Time) int {
	const longest = 20 * 365 * 24 * time.Hour // Cassandra's limit
	return int(min(s.ttl-now.Sub(r.Time), longest) / time.Second)
}

// batches are the rows of by_time, in batches of one partition each: the batch
// limits of Cassandra, which are for those over several, don't apply.
func (s *Store) batches(rows []*trail.Row, now time.Time) []*gocql.Batch {
	type placed struct {
		place
		*trail.Row
	}
	all := make([]placed, len(rows))
	for i, r := range rows {
		all[i] = placed{s.layouts.placeOf(r), r}
	}
	slices.SortStableFunc(all, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.bucket, b.bucket), cmp.Compare(a.shard, b.shard))
	})
	var batches []*gocql.Batch
	var last *gocql.Batch
	size := 0
	for i, p := range all {
		if i == 0 || p.place != all[i-1].place || last.Size() >= maxBatch || size > maxBatchBytes {
			last = s.session.NewBatch(gocql.UnloggedBatch)
			batches = append(batches, last)
			size = 0
		}
		size += 300 + len(p.Error) + len(p.Topic) + len(p.RequestTopic) + len(p.Plugin)
		last.Entries = append(last.Entries, gocql.BatchEntry{
			Stmt: insertByTime, Idempotent: true, Args: append(byTimeValues(p.place, p.Row), s.ttlOf(p.Row, now)),
		})
	}
	return batches
}

// each runs n pieces of work, some at a time, and returns the first error.
func (s *Store) each(ctx context.Context, n int, work func(context.Context, int) error) error {
	if n == 0 {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	// A worker takes the next piece until none is left: a goroutine for each
	// row would cost more than the row.
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	for range min(n, inFlight) {
		group.Go(func() error {
			for i := range next {
				if err := work(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// set is v, or the unset value where it is zero: null would be a tombstone.
func set[T comparable](v T) any {
	var zero T
	if v == zero {
		return gocql.UnsetValue
	}
	return v
}

func setBytes(b []byte) any {
	if b == nil { // an empty one is a value
		return gocql.UnsetValue
	}
	return b
}

func setTime(t time.Time) any {
	if t.IsZero() {
		return gocql.UnsetValue
	}
	return t
}

func byIDValues(r *trail.Row) ([]any, error) {
	id, err := gocql.ParseUUID(r.RequestID)
	if err != nil {
		return nil, fmt.Errorf("request id of %s/%d at %d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	key, payload := r.Key, r.Payload
	if len(key)+len(payload) > maxContent { // without its key the payload cannot be opened
		key, payload = nil, nil
	}
	return append(make([]any, 0, 24), // with the TTL
		id, r.Type, r.Topic, r.Partition, r.Offset, r.Time, set(r.RequestTopic), set(r.Status), r.Success, set(r.Error),
		setTime(r.RecordTime), set(r.SentMS), set(r.TimeoutMS), set(r.DurationMS), set(r.Attempt), set(r.Plugin), set(r.KeyID),
		setBytes(key), set(r.ReplyTo), set(r.ReplyPartition), set(r.Traceparent), set(r.Tracestate), setBytes(payload)), nil
}

func byTimeValues(p place, r *trail.Row) []any {
	id := any(gocql.UnsetValue)
	if u, err := gocql.ParseUUID(r.RequestID); err == nil {
		id = u
	}
	return append(make([]any, 0, 21), // with the TTL
		p.bucket, p.shard, r.Time, r.Topic, r.Partition, r.Offset, r.Type, id, set(r.RequestTopic), set(r.Status), r.Success, set(r.Error),
		setTime(r.RecordTime), set(r.SentMS), set(r.TimeoutMS), set(r.DurationMS), set(r.Attempt), set(r.Plugin), set(r.KeyID), set(r.GapEnd))
}
