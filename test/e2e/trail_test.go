package e2e

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"rrhost/audit"
	"rrhost/internal/wire"
)

func (p place) describe(what string, a int64, and string, b int64) string {
	return fmt.Sprintf("%s/%d %s %d %s %d", p.topic, p.partition, what, a, and, b)
}

// trail is every row that the store has of the site, the oldest first.
func (s *site) trail() []audit.Row {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	reader, err := audit.Open(ctx, s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	defer reader.Close()
	topics := s.topics()
	var rows []audit.Row
	// From somewhat before the beginning: clocks may differ.
	q := audit.Range{From: s.began.Add(-time.Minute), Limit: audit.MaxLimit, Oldest: true}
	for {
		page, err := reader.ByTime(ctx, q)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, row := range page.Rows {
			if slices.Contains(topics, row.Topic) {
				rows = append(rows, row)
			}
		}
		if q.Cursor = page.Cursor; q.Cursor == "" {
			return rows
		}
	}
}

// topics are all that the site has.
func (s *site) topics() []string {
	list := []string{s.cfg.Replies.Topic}
	for _, t := range s.cfg.Topics {
		list = append(list, t.Name, wire.DeadLetterTopic(t.Name))
	}
	return list
}

// checkTrail waits until the trail holds what the log holds, record by record and
// nothing else, and returns both.
func (s *site) checkTrail() (log []*kgo.Record, rows []audit.Row) {
	s.t.Helper()
	log = s.consumeAll(s.topics()...)
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		rows = s.trail()
		if len(rows) >= len(log) || time.Now().After(end) {
			break
		}
	}
	stored := make(map[place]audit.Row, len(rows))
	for _, row := range rows {
		at := place{row.Topic, row.Partition, row.Offset}
		if _, twice := stored[at]; twice {
			s.t.Errorf("the trail has %v twice", at)
		}
		stored[at] = row
	}
	wrong := 0
	for _, r := range log {
		row, ok := stored[placeOf(r)]
		delete(stored, placeOf(r))
		if problem := s.differs(r, row, ok); problem != "" {
			if wrong++; wrong <= 5 {
				s.t.Errorf("%v: %s", placeOf(r), problem)
			}
		}
	}
	if wrong > 5 {
		s.t.Errorf("and %d more records that the trail lacks or has otherwise", wrong-5)
	}
	for at, row := range stored {
		s.t.Errorf("the trail has a row for %v (%s) that the log does not have", at, row.Type)
		break
	}
	return log, rows
}

// differs says in what a record and its row do not agree.
func (s *site) differs(r *kgo.Record, row audit.Row, ok bool) string {
	kind, status := audit.TypeRequest, ""
	if r.Topic == s.cfg.Replies.Topic {
		kind, status = audit.TypeResponse, header(r, wire.HeaderStatus)
	} else if reason := header(r, wire.HeaderDLQReason); reason != "" {
		kind, status = audit.TypeDeadLetter, reason
	}
	switch {
	case !ok:
		return "a " + kind + " is not in the trail"
	case row.Type != kind:
		return fmt.Sprintf("type %q, want %q", row.Type, kind)
	case kind != audit.TypeRequest && row.Status != status:
		return fmt.Sprintf("status %q, want %q", row.Status, status)
	case kind != audit.TypeRequest && row.Success != (status == string(wire.StatusOK)):
		return fmt.Sprintf("success %v with status %q", row.Success, status)
	case row.Status != string(wire.StatusMalformed) && row.RequestID != header(r, wire.HeaderRequestID):
		return fmt.Sprintf("request id %q, want %q", row.RequestID, header(r, wire.HeaderRequestID))
	}
	return ""
}
