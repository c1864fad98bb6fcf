package cassandra

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gocql/gocql"
	"golang.org/x/sync/errgroup"

	"rrhost/audit/internal/trail"
)

const (
	metadata = `type, topic, part, off, ts, request_id, request_topic, status, success, error,
	record_time, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id`
	selectByTime = "SELECT " + metadata + ", gap_end FROM by_time WHERE bucket = ? AND shard = ? AND "
	selectByID   = "SELECT " + metadata + `, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload
	FROM by_id WHERE request_id = ? LIMIT ?`
	selectOutcomes = "SELECT type FROM by_id WHERE request_id = ? AND type IN ('dead_letter', 'response') LIMIT 1"
)

// lookups is how many partitions are read at once for one call.
const lookups = 32

// blob keeps apart a null from an empty value; the driver doesn't for []byte.
type blob []byte

// record is a row as the driver scans it.
type record struct {
	Type           string
	Topic          string
	Part           int32
	Off            int64
	TS             time.Time `db:"ts"`
	RequestID      gocql.UUID
	RequestTopic   string
	Status         string
	Success        bool
	Error          string
	RecordTime     time.Time
	SentMS         int64 `db:"sent_ms"`
	TimeoutMS      int64 `db:"timeout_ms"`
	DurationMS     int64 `db:"duration_ms"`
	Attempt        int
	Plugin         string
	KeyID          string `db:"key_id"`
	GapEnd         int64
	KafkaKey       blob
	ReplyTo        string
	ReplyPartition int32
	Traceparent    string
	Tracestate     string
	Payload        blob
}

func (r *record) row() trail.Row {
	id := ""
	if r.RequestID != (gocql.UUID{}) {
		id = r.RequestID.String()
	}
	return trail.Row{
		RequestID: id, Time: r.TS.UTC(), RecordTime: r.RecordTime.UTC(), SentMS: r.SentMS, Type: r.Type,
		Topic: r.Topic, Partition: r.Part, Offset: r.Off, GapEnd: r.GapEnd, RequestTopic: r.RequestTopic,
		Key: r.KafkaKey, ReplyTo: r.ReplyTo, ReplyPartition: r.ReplyPartition, TimeoutMS: r.TimeoutMS,
		Success: r.Success, Status: r.Status, Error: r.Error, DurationMS: r.DurationMS, Attempt: r.Attempt,
		Plugin: r.Plugin, Traceparent: r.Traceparent, Tracestate: r.Tracestate, KeyID: r.KeyID, Payload: r.Payload,
	}
}

// ByRequestID returns all rows of one request, whole, in the order of their
// time.
func (s *Store) ByRequestID(ctx context.Context, id string) ([]trail.Row, error) {
	uuid, err := gocql.ParseUUID(id)
	if err != nil {
		return nil, nil // no such row can be
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	var found []record
	if err := s.session.ContextQuery(ctx, selectByID, nil).Bind(uuid, trail.MaxRowsByID).SelectRelease(&found); err != nil {
		return nil, fmt.Errorf("cassandra: by id: %w", err)
	}
	rows := make([]trail.Row, len(found))
	for i := range found {
		rows[i] = found[i].row()
	}
	slices.SortFunc(rows, func(a, b trail.Row) int { return a.At().Compare(b.At()) })
	return rows, nil
}

// Outcomes says which of the requests have a response or a dead letter.
func (s *Store) Outcomes(ctx context.Context, ids []string) (map[string]bool, error) {
	var mu sync.Mutex
	found := map[string]bool{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookups)
	for _, id := range ids {
		uuid, err := gocql.ParseUUID(id)
		if err != nil {
			continue
		}
		group.Go(func() error {
			ctx, cancel := bounded(ctx)
			defer cancel()
			var kind string
			err := s.session.ContextQuery(ctx, selectOutcomes, nil).Bind(uuid).Scan(&kind)
			if err == gocql.ErrNotFound {
				return nil
			}
			if err != nil {
				return fmt.Errorf("cassandra: outcomes: %w", err)
			}
			mu.Lock()
			defer mu.Unlock()
			found[id] = true
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return found, nil
}

// complete replaces rows of by_time by those of by_id, where there is one.
func (s *Store) complete(ctx context.Context, rows []trail.Row) error {
	byID := map[string][]int{}
	for i := range rows {
		if id := rows[i].RequestID; id != "" {
			byID[id] = append(byID[id], i)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookups)
	for id, places := range byID {
		group.Go(func() error {
			whole, err := s.ByRequestID(ctx, id)
			if err != nil {
				return err
			}
			for _, i := range places {
				for _, w := range whole {
					if w.Type == rows[i].Type && w.Topic == rows[i].Topic && w.Partition == rows[i].Partition && w.Offset == rows[i].Offset {
						rows[i] = w
					}
				}
			}
			return nil
		})
	}
	return group.Wait()
}
