package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"rrhost/audit/internal/trail"
)

const (
	insertRow = `INSERT INTO rows (ts, topic, part, off, type, request_id, request_topic, status, success, error,
	record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end,
	keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload)
	VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`

	advancePosition = `INSERT INTO positions (topic, part, next, record_ms, complete_ms) VALUES (?,?,?,?,?)
	ON CONFLICT DO UPDATE SET next = excluded.next, record_ms = excluded.record_ms, complete_ms = excluded.complete_ms`

	deleteOld = `DELETE FROM rows WHERE id IN (SELECT id FROM rows WHERE ts < ? ORDER BY ts LIMIT ?)`
)

const (
	// trimStep is how many expired rows a write removes beside twice those
	// that it adds.
	trimStep = 200
	// vacuumStep is how many free pages are given back at once.
	vacuumStep = 256
	// minFree is what must be free on the disk for rows to be written, in
	// bytes: the trail stops before it fills the disk that Kafka or the host
	// may live on too.
	minFree = 64 << 20
)

// ErrDiskFull is returned while less than 64 MiB are free.
var ErrDiskFull = errors.New("disk is nearly full")

// Write stores rows and positions, all or nothing. Rows that are there already
// stay as they are. Without rows it isn't synced: what a crash then undoes is
// only read again.
func (s *Store) Write(ctx context.Context, rows []trail.Row, positions []trail.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.transact(ctx, rows, positions); err != nil {
		return fmt.Errorf("audit store %s: %w", s.path, err)
	}
	return nil
}

func (s *Store) transact(ctx context.Context, rows []trail.Row, positions []trail.Position) error {
	if free, err := freeBytes(s.path); err == nil && free < minFree {
		return fmt.Errorf("%w: %d MiB are left", ErrDiskFull, free>>20)
	}
	// Each write sets what it needs: were it put back afterwards, a failure to do
	// so would leave later rows acknowledged before they are on the disk.
	mode := "FULL"
	if len(rows) == 0 {
		mode = "NORMAL"
	}
	if _, err := s.write.ExecContext(ctx, "PRAGMA synchronous = "+mode); err != nil {
		return err
	}
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	insert := tx.StmtContext(ctx, s.insert)
	for i := range rows {
		if _, err := insert.ExecContext(ctx, values(&rows[i])...); err != nil {
			return fmt.Errorf("write row: %w", err)
		}
	}
	advance := tx.StmtContext(ctx, s.advance)
	for _, p := range positions {
		if _, err := advance.ExecContext(ctx, p.Topic, p.Partition, p.Next, p.RecordTime.UnixMilli(), p.Complete.UnixMilli()); err != nil {
			return fmt.Errorf("write position: %w", err)
		}
	}
	removed, err := s.trim(ctx, tx, 2*len(rows)+trimStep)
	if err != nil {
		return fmt.Errorf("remove old rows: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if removed > 0 {
		return s.giveBack(ctx)
	}
	return nil
}

func (s *Store) trim(ctx context.Context, tx *sql.Tx, limit int) (removed int64, err error) {
	if s.ttl <= 0 {
		return 0, nil
	}
	result, err := tx.ExecContext(ctx, deleteOld, s.now().Add(-s.ttl).UnixMilli(), limit)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// giveBack returns free pages to the file system where they are more than a
// quarter of the file: fewer are soon used again.
func (s *Store) giveBack(ctx context.Context) error {
	var pages, free int64
	if err := s.write.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
		return err
	}
	if err := s.write.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&free); err != nil {
		return err
	}
	if free <= vacuumStep || free < pages/4 {
		return nil
	}
	// Each step of the statement frees one page, so it must be run to its end.
	steps, err := s.write.QueryContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumStep))
	if err != nil {
		return err
	}
	defer steps.Close()
	for steps.Next() {
	}
	return steps.Err()
}

func values(r *trail.Row) []any {
	return []any{
		r.Time.UnixMilli(), r.Topic, r.Partition, r.Offset, r.Type, r.RequestID, r.RequestTopic, r.Status, r.Success, r.Error,
		r.RecordTime.UnixMilli(), r.SentMS, r.TimeoutMS, r.DurationMS, r.Attempt, r.Plugin, r.KeyID, r.GapEnd,
		r.Key != nil, r.Key, r.ReplyTo, r.ReplyPartition, r.Traceparent, r.Tracestate, r.Payload,
	}
}
