package audit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rrhost/audit/internal/trail"
)

// Bounds of a page.
const (
	DefaultLimit = 100
	MaxLimit     = 10_000
)

// A Reader answers questions of the trail. Any number of goroutines may use it.
type Reader struct {
	store  store
	topics []string // all that the configuration names
	now    func() time.Time
	poll   time.Duration
}

// Close ends the connection with the store. Calls in flight fail.
func (r *Reader) Close() error { return r.store.Close() }

// A Range asks for rows by time.
type Range struct {
	// From and To bound the rows' times: From <= row < To. Zero: without bound,
	// and until now.
	From, To time.Time
	// Topic is the request topic; responses and dead letters are found under it
	// too. Gaps in the reply topics match any.
	Topic string
	// Status of an outcome, "malformed", or [StatusNoOutcome].
	Status string
	// Type is one of the types of rows.
	Type string
	// Limit is how many rows a page has at most. Defaults to [DefaultLimit].
	Limit int
	// Cursor is a page's before: it goes on there. All else must be the same.
	Cursor string
	// Oldest gives the oldest rows first, and not the newest.
	Oldest bool
	// Payloads gives rows whole. Else they lack payload, Kafka key, reply
	// address and trace context, and are read much faster.
	Payloads bool
}

// A Page is a part of an answer.
type Page struct {
	Rows []Row
	// Cursor goes on after these rows; empty: there are no more. A page may be
	// short, or empty, and yet have a cursor: a call does bounded work.
	Cursor string
	// CompleteUntil is the time before which the trail has everything; later
	// rows may still come. Zero: not known. On topics whose records carry the
	// sender's time it is as good as the senders' clocks.
	CompleteUntil time.Time
}

// ByRequestID returns all rows of one request in the order of their time, whole:
// the request, and its outcomes. It returns none, and no error, for an id that
// is not in the trail.
func (r *Reader) ByRequestID(ctx context.Context, id string) ([]Row, error) {
	until, err := r.CompleteUntil(ctx) // before the rows, so that it is true of them
	if err != nil {
		return nil, err
	}
	found, err := r.store.ByRequestID(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("audit: request %s: %w", id, err)
	}
	rows := fromTrail(found)
	ended := slices.ContainsFunc(found, func(t trail.Row) bool { return t.Outcome() })
	for i := range rows {
		if !ended && overdue(&rows[i], until) {
			markOverdue(&rows[i])
		}
	}
	return rows, nil
}

// ByTime returns a page of the rows of a time range.
func (r *Reader) ByTime(ctx context.Context, q Range) (Page, error) {
	ask, hash, err := r.query(q)
	if err != nil {
		return Page{}, err
	}
	until, err := r.CompleteUntil(ctx)
	if err != nil {
		return Page{}, err
	}
	found, err := r.store.ByTime(ctx, ask)
	if err != nil {
		return Page{}, fmt.Errorf("audit: %w", err)
	}
	page := Page{Rows: fromTrail(found.Rows), CompleteUntil: until}
	if found.Next != nil {
		page.Cursor = cursor{*found.Next, ask.To.UnixMilli(), hash}.String()
	}
	if err := r.markOverdue(ctx, page.Rows, until); err != nil {
		return Page{}, err
	}
	if q.Status == StatusNoOutcome {
		page.Rows = slices.DeleteFunc(page.Rows, func(row Row) bool { return row.Status != StatusNoOutcome })
	}
	return page, nil
}

// query checks a range and makes the store's question of it.
func (r *Reader) query(q Range) (trail.Query, uint32, error) {
	switch {
	case q.Limit < 0 || q.Limit > MaxLimit:
		return trail.Query{}, 0, fmt.Errorf("audit: limit %d is not between 1 and %d", q.Limit, MaxLimit)
	case q.Type != "" && !slices.Contains([]string{TypeRequest, TypeResponse, TypeDeadLetter, TypeGap}, q.Type):
		return trail.Query{}, 0, fmt.Errorf("audit: type %q: there are %s, %s, %s and %s", q.Type, TypeRequest, TypeResponse, TypeDeadLetter, TypeGap)
	}
	ask := trail.Query{
		From: ms(q.From), To: ms(q.To), Oldest: q.Oldest, Topic: q.Topic, Status: q.Status, Type: q.Type, Limit: q.Limit, Payloads: q.Payloads,
	}
	if q.From.IsZero() {
		ask.From = time.UnixMilli(0).UTC()
	}
	if q.To.IsZero() {
		ask.To = ms(r.now()).Add(time.Millisecond)
	}
	if ask.Limit == 0 {
		ask.Limit = DefaultLimit
	}
	if q.Status == StatusNoOutcome {
		ask.Status, ask.Type = "", TypeRequest
	}
	hash := hashOf(q)
	if q.Cursor != "" {
		c, err := parseCursor(q.Cursor, hash)
		if err != nil {
			return trail.Query{}, 0, err
		}
		ask.After, ask.To = &c.at, time.UnixMilli(c.to).UTC()
	}
	if !ask.From.Before(ask.To) {
		if q.To.IsZero() || !q.From.After(q.To) {
			ask.To = ask.From // nothing is in it
			return ask, hash, nil
		}
		return trail.Query{}, 0, fmt.Errorf("audit: the range ends at %s, before it begins at %s", q.To.Format(time.RFC3339), q.From.Format(time.RFC3339))
	}
	return ask, hash, nil
}

func ms(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// CompleteUntil is the time before which every record of every configured topic
// is in the trail. Zero: not known, since a topic was never read.
func (r *Reader) CompleteUntil(ctx context.Context) (time.Time, error) {
	positions, err := r.store.Positions(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("audit: %w", err)
	}
	return completeUntil(positions, r.topics), nil
}

// Unread are the configured topics that keep [Reader.CompleteUntil] from being
// known, sorted: no host has read them yet.
func (r *Reader) Unread(ctx context.Context) ([]string, error) {
	positions, err := r.store.Positions(ctx)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return unread(positions, r.topics), nil
}

func completeUntil(positions []trail.Position, topics []string) time.Time {
	complete := completeByTopic(positions)
	var until time.Time
	for i, topic := range topics {
		if t := complete[topic]; i == 0 || t.Before(until) {
			until = t
		}
	}
	return until
}

func unread(positions []trail.Position, topics []string) []string {
	complete := completeByTopic(positions)
	return slices.DeleteFunc(slices.Clone(topics), func(topic string) bool { return !complete[topic].IsZero() })
}

// completeByTopic is the time before which every record of a topic is in the
// trail. Of a topic that is not known it is zero.
func completeByTopic(positions []trail.Position) map[string]time.Time {
	least := map[string]time.Time{}
	absent := map[string]time.Time{}
	for _, p := range positions {
		if p.Partition == trail.NoPartition {
			absent[p.Topic] = p.Complete
		} else if t, has := least[p.Topic]; !has || p.Complete.Before(t) {
			least[p.Topic] = p.Complete
		}
	}
	for topic, t := range absent {
		if _, has := least[topic]; !has { // a topic that isn't there misses nothing
			least[topic] = t
		}
	}
	return least
}

// overdue says whether a request's outcome would have to be in the trail. A
// dead letter's or response's absence says nothing before.
func overdue(row *Row, until time.Time) bool {
	return row.Type == TypeRequest && row.Status == "" && row.deadline().Before(until)
}

func markOverdue(row *Row) { row.Status, row.Success = StatusNoOutcome, false }

// markOverdue looks up whether the requests among rows have ended.
func (r *Reader) markOverdue(ctx context.Context, rows []Row, until time.Time) error {
	ended := map[string]bool{}
	for i := range rows {
		if (*trail.Row)(&rows[i]).Outcome() {
			ended[rows[i].RequestID] = true
		}
	}
	var open []string
	for i := range rows {
		if overdue(&rows[i], until) && !ended[rows[i].RequestID] {
			open = append(open, rows[i].RequestID)
		}
	}
	if len(open) == 0 {
		return nil
	}
	more, err := r.store.Outcomes(ctx, open)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	for i := range rows {
		if id := rows[i].RequestID; overdue(&rows[i], until) && !ended[id] && !more[id] {
			markOverdue(&rows[i])
		}
	}
	return nil
}
