package audit

import (
	"context"
	"iter"
	"slices"
	"time"
)

// pollEvery is how often the store is asked for news.
const pollEvery = 200 * time.Millisecond

// Follow gives the rows of q from its beginning on, oldest first, and goes on as
// they come, until ctx is done or the consumer breaks off. It gives no row before
// the trail is complete up to it: so none comes late or twice, and rows are a
// second or two behind. Of q it ignores To, Cursor and Oldest. An error is the
// last that it gives; ctx's end is none.
func (r *Reader) Follow(ctx context.Context, q Range) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		q.Oldest, q.Cursor = true, ""
		if q.From.IsZero() {
			q.From = r.now()
		}
		q.From = ms(q.From)
		tick := time.NewTicker(r.poll)
		defer tick.Stop()
		for {
			until, err := r.CompleteUntil(ctx)
			if err == nil && until.After(q.From) {
				q.To = ms(until)
				var more bool
				if more, err = r.pages(ctx, q, yield); !more {
					return
				}
				q.From = q.To
			}
			if err != nil && ctx.Err() == nil {
				yield(Row{}, err)
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}
}

// pages gives all of q, which has both ends. It returns false when the consumer
// has broken off.
func (r *Reader) pages(ctx context.Context, q Range, yield func(Row, error) bool) (more bool, err error) {
	for {
		page, err := r.ByTime(ctx, q)
		if err != nil {
			return true, err
		}
		for _, row := range page.Rows {
			if !yield(row, nil) {
				return false, nil
			}
		}
		if page.Cursor == "" {
			return true, nil
		}
		q.Cursor = page.Cursor
	}
}

// WaitOutcome is [Reader.ByRequestID], but waits until the request and its outcome
// are there, in whichever order they are stored, for at most wait: then it returns
// what is. It ends before with ctx's error.
func (r *Reader) WaitOutcome(ctx context.Context, id string, wait time.Duration) ([]Row, error) {
	end := time.NewTimer(wait)
	defer end.Stop()
	tick := time.NewTicker(r.poll / 2)
	defer tick.Stop()
	for {
		rows, err := r.ByRequestID(ctx, id)
		if err != nil {
			return nil, err
		}
		asked := slices.ContainsFunc(rows, func(row Row) bool { return row.Type == TypeRequest })
		ended := slices.ContainsFunc(rows, func(row Row) bool { return row.Type == TypeResponse || row.Type == TypeDeadLetter })
		if asked && ended {
			return rows, nil
		}
		select {
		case <-ctx.Done():
			return rows, ctx.Err()
		case <-end.C:
			return rows, nil
		case <-tick.C:
		}
	}
}
