package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"rrhost/audit/internal/trail"
)

const (
	metadata = `ts, topic, part, off, type, request_id, request_topic, status, success, error,
	record_ms, sent_ms, timeout_ms, duration_ms, attempt, plugin, key_id, gap_end`
	whole = metadata + `, keyed, kafka_key, reply_to, reply_partition, traceparent, tracestate, payload`
)

// scanBound is how many rows a filtered query looks at in one call.
const scanBound = 50_000

// Positions returns all positions; reading goes on exactly where it ended.
func (s *Store) Positions(ctx context.Context) ([]trail.Position, error) {
	rows, err := s.read.QueryContext(ctx, "SELECT topic, part, next, record_ms, complete_ms FROM positions")
	if err != nil {
		return nil, fmt.Errorf("audit store %s: positions: %w", s.path, err)
	}
	defer rows.Close()
	var all []trail.Position
	for rows.Next() {
		var p trail.Position
		var record, complete int64
		if err := rows.Scan(&p.Topic, &p.Partition, &p.Next, &record, &complete); err != nil {
			return nil, fmt.Errorf("audit store %s: positions: %w", s.path, err)
		}
		p.Start, p.RecordTime, p.Complete = p.Next, fromMS(record), fromMS(complete)
		all = append(all, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit store %s: positions: %w", s.path, err)
	}
	return all, nil
}

// ByRequestID returns all rows of one request, whole, in the order of their
// time.
func (s *Store) ByRequestID(ctx context.Context, id string) ([]trail.Row, error) {
	if id == "" { // those rows are in no index
		return nil, nil
	}
	return s.query(ctx, true, "SELECT "+whole+" FROM rows WHERE request_id = ? AND request_id <> '' ORDER BY ts, topic, part, off LIMIT ?",
		id, trail.MaxRowsByID)
}

// Outcomes says which of the requests have a response or a dead letter.
func (s *Store) Outcomes(ctx context.Context, ids []string) (map[string]bool, error) {
	found := map[string]bool{}
	for len(ids) > 0 {
		n := min(len(ids), 500)
		args := make([]any, n)
		for i, id := range ids[:n] {
			args[i] = id
		}
		ids = ids[n:]
		rows, err := s.read.QueryContext(ctx, "SELECT DISTINCT request_id FROM rows WHERE request_id <> '' AND type IN ('response', 'dead_letter') AND request_id IN (?"+
			strings.Repeat(",?", n-1)+")", args...)
		if err != nil {
			return nil, fmt.Errorf("audit store %s: outcomes: %w", s.path, err)
		}
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				rows.Close()
				return nil, fmt.Errorf("audit store %s: outcomes: %w", s.path, err)
			}
			found[id] = true
		}
		if err := rows.Err(); err != nil {
			return nil, fmt.Errorf("audit store %s: outcomes: %w", s.path, err)
		}
	}
	return found, nil
}

// ByTime answers a part of q.
func (s *Store) ByTime(ctx context.Context, q trail.Query) (trail.Page, error) {
	w := window(q)
	bound, err := s.bound(ctx, q, w)
	if err != nil {
		return trail.Page{}, err
	}
	if bound != nil {
		w.add("(ts, topic, part, off) "+w.upTo+" (?,?,?,?)", bound.Time, bound.Topic, bound.Partition, bound.Offset)
	}
	if q.Topic != "" {
		w.add("(request_topic = ? OR type = 'gap' AND request_topic = '')", q.Topic)
	}
	if q.Status != "" {
		w.add("status = ?", q.Status)
	}
	if q.Type != "" {
		w.add("type = ?", q.Type)
	}
	columns := metadata
	if q.Payloads {
		columns = whole
	}
	rows, err := s.query(ctx, q.Payloads, "SELECT "+columns+" FROM rows WHERE "+w.where()+w.order+" LIMIT ?", append(w.args, q.Limit)...)
	if err != nil {
		return trail.Page{}, err
	}
	page := trail.Page{Rows: rows, Next: bound}
	if len(rows) == q.Limit {
		last := rows[len(rows)-1].At()
		page.Next = &last
	}
	return page, nil
}

// bound is the row up to which a filtered query looks, so that a filter that
// little passes doesn't read the whole trail in one call. Nil: to the end.
func (s *Store) bound(ctx context.Context, q trail.Query, w conditions) (*trail.Key, error) {
	if q.Topic == "" && q.Status == "" && q.Type == "" {
		return nil, nil
	}
	var k trail.Key // from the index alone
	err := s.read.QueryRowContext(ctx, "SELECT ts, topic, part, off FROM rows WHERE "+w.where()+w.order+" LIMIT 1 OFFSET ?",
		append(w.args, scanBound)...).Scan(&k.Time, &k.Topic, &k.Partition, &k.Offset)
	if err == sql.ErrNoRows {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("audit store %s: by time: %w", s.path, err)
	}
	return &k, nil
}

// conditions are a query's WHERE clause and the order it is asked in.
type conditions struct {
	terms       []string
	args        []any
	order, upTo string
}

func window(q trail.Query) conditions {
	w := conditions{order: " ORDER BY ts DESC, topic DESC, part DESC, off DESC", upTo: ">="}
	beyond := "<"
	if q.Oldest {
		w.order, w.upTo, beyond = " ORDER BY ts, topic, part, off", "<=", ">"
	}
	w.add("ts >= ? AND ts < ?", q.From.UnixMilli(), q.To.UnixMilli())
	if k := q.After; k != nil {
		w.add("(ts, topic, part, off) "+beyond+" (?,?,?,?)", k.Time, k.Topic, k.Partition, k.Offset)
	}
	return w
}

func (w *conditions) add(term string, args ...any) {
	w.terms = append(w.terms, term)
	w.args = append(w.args, args...)
}

func (w *conditions) where() string { return strings.Join(w.terms, " AND ") }

func (s *Store) query(ctx context.Context, payloads bool, text string, args ...any) ([]trail.Row, error) {
	found, err := s.read.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("audit store %s: %w", s.path, err)
	}
	defer found.Close()
	var rows []trail.Row
	for found.Next() {
		r, err := scan(found, payloads)
		if err != nil {
			return nil, fmt.Errorf("audit store %s: %w", s.path, err)
		}
		rows = append(rows, r)
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("audit store %s: %w", s.path, err)
	}
	return rows, nil
}

func scan(found *sql.Rows, payloads bool) (trail.Row, error) {
	var r trail.Row
	var ts, record int64
	var keyed bool
	into := []any{
		&ts, &r.Topic, &r.Partition, &r.Offset, &r.Type, &r.RequestID, &r.RequestTopic, &r.Status, &r.Success, &r.Error,
		&record, &r.SentMS, &r.TimeoutMS, &r.DurationMS, &r.Attempt, &r.Plugin, &r.KeyID, &r.GapEnd,
	}
	if payloads {
		into = append(into, &keyed, &r.Key, &r.ReplyTo, &r.ReplyPartition, &r.Traceparent, &r.Tracestate, &r.Payload)
	}
	if err := found.Scan(into...); err != nil {
		return r, err
	}
	if keyed && r.Key == nil { // the driver makes no difference
		r.Key = []byte{}
	}
	r.Time, r.RecordTime = fromMS(ts), fromMS(record)
	return r, nil
}

func fromMS(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
