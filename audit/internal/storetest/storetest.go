// Package storetest is the suite that every audit store must pass.
package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"rrhost/audit/internal/trail"
)

// A Store is what the audit package uses of one.
type Store interface {
	Write(ctx context.Context, rows []trail.Row, positions []trail.Position) error
	Positions(ctx context.Context) ([]trail.Position, error)
	ByRequestID(ctx context.Context, id string) ([]trail.Row, error)
	ByTime(ctx context.Context, q trail.Query) (trail.Page, error)
	Outcomes(ctx context.Context, ids []string) (map[string]bool, error)
	Close() error
}

// TTL is the retention that open must give its stores.
const TTL = 24 * time.Hour

// Run runs the suite. open returns an empty store whose rows live for [TTL];
// the suite closes it.
func Run(t *testing.T, open func(t *testing.T) Store) {
	tests := map[string]func(*testing.T, Store){
		"rows come back as they were written":      rowsComeBack,
		"a row that is read again stays one":       replayIsIdempotent,
		"positions":                                positions,
		"pages are complete in both orders":        pages,
		"filters":                                  filters,
		"a page that ends at a time without a row": pageEndsAtTime,
		"rows past their time are gone":            expiry,
		"outcomes":                                 outcomes,
		"an ended context":                         endedContext,
		"large payloads":                           largePayloads,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			defer s.Close()
			test(t, s)
		})
	}
}

// Rows makes n request rows over some partitions, a millisecond apart, the last
// one a second ago.
func Rows(n int) []trail.Row {
	rows := make([]trail.Row, n)
	last := now().Add(-time.Second)
	for i := range rows {
		rows[i] = trail.Row{
			RequestID: uuid.NewString(), Time: last.Add(-time.Duration(n-i) * time.Millisecond), Type: trail.Request,
			Topic: "calculate", RequestTopic: "calculate", Partition: int32(i % 4), Offset: int64(i / 4),
			Success: true, TimeoutMS: 30_000, ReplyTo: "rr.replies", ReplyPartition: 3,
			KeyID: "00112233445566778899aabbccddeeff", Payload: slices.Repeat([]byte{byte(i)}, 300),
		}
		rows[i].RecordTime = rows[i].Time
		rows[i].SentMS = rows[i].Time.UnixMilli() - 2
	}
	return rows
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func write(t *testing.T, s Store, rows []trail.Row, positions ...trail.Position) {
	t.Helper()
	if err := s.Write(t.Context(), rows, positions); err != nil {
		t.Fatalf("Write: %v", err)
	}
}

// all reads a query to its end and fails on pages that do not move.
func all(t *testing.T, s Store, q trail.Query) []trail.Row {
	t.Helper()
	var rows []trail.Row
	for range 10_000 {
		page, err := s.ByTime(t.Context(), q)
		if err != nil {
			t.Fatalf("ByTime: %v", err)
		}
		if len(page.Rows) > q.Limit {
			t.Fatalf("ByTime gave %d rows, limit %d", len(page.Rows), q.Limit)
		}
		rows = append(rows, page.Rows...)
		if page.Next == nil {
			return rows
		}
		if q.After != nil && (page.Next.Compare(*q.After) > 0) != q.Oldest {
			t.Fatalf("page went from %v to %v", *q.After, *page.Next)
		}
		q.After = page.Next
	}
	t.Fatal("no end of pages")
	return nil
}

func rowsComeBack(t *testing.T, s Store) {
	id := uuid.NewString()
	at := now().Add(-time.Minute)
	rows := []trail.Row{{
		RequestID: id, Time: at, RecordTime: at, SentMS: 1, Type: trail.Request, Topic: "calculate", Partition: 2, Offset: 1 << 40,
		RequestTopic: "calculate", Key: []byte{}, ReplyTo: "rr.replies", ReplyPartition: 15, TimeoutMS: 30000, Success: true,
		Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Tracestate: "a=b", KeyID: "aa", Payload: []byte{0, 1, 255},
	}, {
		RequestID: id, Time: at.Add(time.Second), RecordTime: at.Add(time.Hour), Type: trail.Response, Topic: "rr.replies", Partition: 15, Offset: 0,
		RequestTopic: "calculate", Key: []byte("k\x00"), Status: "handler_error", Error: "Störung 'x'", DurationMS: 12, Attempt: 2, Plugin: "calculate 1.0",
		Payload: []byte("x"),
	}, {
		RequestID: id, Time: at.Add(2 * time.Second), RecordTime: at, Type: trail.DeadLetter, Topic: "calculate.dlq", RequestTopic: "calculate", Status: "malformed",
	}}
	write(t, s, rows)
	got, err := s.ByRequestID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, rows)
	for _, other := range []string{"", "not an id", uuid.NewString()} {
		if got, err := s.ByRequestID(t.Context(), other); err != nil || len(got) != 0 {
			t.Errorf("ByRequestID(%q) = %v, %v", other, got, err)
		}
	}

	gap := trail.Row{Time: at.Add(3 * time.Second), RecordTime: at.Add(3 * time.Second), Type: trail.Gap, Topic: "calculate", Partition: 1, Offset: 10, GapEnd: 20, RequestTopic: "calculate"}
	write(t, s, []trail.Row{gap})
	q := trail.Query{From: at.Add(-time.Minute), To: at.Add(time.Minute), Oldest: true, Limit: 10, Payloads: true}
	equal(t, all(t, s, q), append(slices.Clone(rows), gap))
	q.Payloads = false
	metadata := append(slices.Clone(rows), gap)
	for i := range metadata {
		r := &metadata[i]
		r.Key, r.ReplyTo, r.ReplyPartition, r.Traceparent, r.Tracestate, r.Payload = nil, "", 0, "", "", nil
	}
	equal(t, all(t, s, q), metadata)
}

func equal(t *testing.T, got, want []trail.Row) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i := range got {
		g, w := reflect.ValueOf(got[i]), reflect.ValueOf(want[i])
		for f := range g.NumField() {
			if !reflect.DeepEqual(g.Field(f).Interface(), w.Field(f).Interface()) {
				t.Errorf("row %d: %s = %#v, want %#v", i, g.Type().Field(f).Name, g.Field(f).Interface(), w.Field(f).Interface())
			}
		}
	}
}

func replayIsIdempotent(t *testing.T, s Store) {
	rows := Rows(200)
	write(t, s, rows)
	write(t, s, rows[50:150])
	q := trail.Query{From: now().Add(-time.Hour), To: now(), Limit: 1000, Payloads: true, Oldest: true}
	equal(t, all(t, s, q), rows)
	got, err := s.ByRequestID(t.Context(), rows[100].RequestID)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, rows[100:101])
}

func positions(t *testing.T, s Store) {
	if got, err := s.Positions(t.Context()); err != nil || len(got) != 0 {
		t.Fatalf("Positions of an empty store = %v, %v", got, err)
	}
	at := now()
	write(t, s, nil, trail.Position{Topic: "a", Partition: 0, Next: 5, Start: 2, RecordTime: at, Complete: at},
		trail.Position{Topic: "a", Partition: trail.NoPartition, Complete: at}, trail.Position{Topic: "b", Partition: 1, Next: 7})
	write(t, s, Rows(1), trail.Position{Topic: "a", Partition: 0, Next: 9, RecordTime: at.Add(time.Second), Complete: at})
	got, err := s.Positions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b trail.Position) int {
		return trail.Key{Topic: a.Topic, Partition: a.Partition}.Compare(trail.Key{Topic: b.Topic, Partition: b.Partition})
	})
	if len(got) != 3 {
		t.Fatalf("Positions = %v", got)
	}
	a := got[1]
	if a.Next != 9 || a.Start > 9 || !a.RecordTime.Equal(at.Add(time.Second)) || !a.Complete.Equal(at) {
		t.Errorf("position of a/0 = %+v", a)
	}
	if got[0].Partition != trail.NoPartition || !got[0].Complete.Equal(at) {
		t.Errorf("position of a = %+v", got[0])
	}
	if b := got[2]; b.Next != 7 || !b.RecordTime.IsZero() || !b.Complete.IsZero() {
		t.Errorf("position of b/1 = %+v", b)
	}
}

func pages(t *testing.T, s Store) {
	rows := Rows(400)
	// Several at one moment, and others far apart: over buckets and shards.
	for i := range rows {
		switch {
		case i >= 370:
			rows[i].Time = rows[369].Time
		case i < 30:
			rows[i].Time = rows[i].Time.Add(-time.Duration(30-i) * 7 * time.Minute)
		}
		rows[i].RecordTime = rows[i].Time
	}
	shuffled := slices.Clone(rows)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for chunk := range slices.Chunk(shuffled, 150) {
		write(t, s, chunk)
	}
	slices.SortFunc(rows, func(a, b trail.Row) int { return a.At().Compare(b.At()) })
	from, to := now().Add(-12*time.Hour), now().Add(time.Hour)
	for _, limit := range []int{1, 7, 100, 2000} {
		want, since := rows, from
		if limit == 1 { // many calls otherwise
			since = rows[369].Time
			want = rows[369:]
		}
		got := all(t, s, trail.Query{From: since, To: to, Oldest: true, Limit: limit, Payloads: true})
		equal(t, got, want)
		got = all(t, s, trail.Query{From: since, To: to, Limit: limit, Payloads: true})
		slices.Reverse(got)
		equal(t, got, want)
	}
	// The bounds: from is in, to is not.
	got := all(t, s, trail.Query{From: rows[100].Time, To: rows[200].Time, Oldest: true, Limit: 1000, Payloads: true})
	equal(t, got, rows[100:200])
}

func filters(t *testing.T, s Store) {
	rows := Rows(400)
	for i := range rows {
		r := &rows[i]
		if i%2 == 1 {
			r.Topic, r.Type, r.Status, r.Success = "rr.replies", trail.Response, "ok", true
		}
		if i%20 == 3 {
			r.Status, r.Success = "handler_error", false
		}
		if i%5 == 4 {
			r.RequestTopic = "echo"
		}
	}
	gaps := []trail.Row{
		{Time: rows[399].Time.Add(time.Millisecond), RecordTime: rows[399].Time, Type: trail.Gap, Topic: "rr.replies", Offset: 1000, GapEnd: 1001},
		{Time: rows[399].Time.Add(time.Millisecond), RecordTime: rows[399].Time, Type: trail.Gap, Topic: "other", RequestTopic: "other", Offset: 1000, GapEnd: 1001},
	}
	write(t, s, append(slices.Clone(rows), gaps...))
	q := trail.Query{From: now().Add(-time.Hour), To: now(), Oldest: true, Limit: 30, Payloads: true}
	for _, f := range []trail.Query{{Topic: "echo"}, {Status: "handler_error"}, {Type: trail.Request}, {Topic: "echo", Status: "ok", Type: trail.Response}, {Topic: "nowhere"}} {
		q.Topic, q.Status, q.Type = f.Topic, f.Status, f.Type
		var want []trail.Row
		for _, r := range append(slices.Clone(rows), gaps...) {
			if q.Matches(&r) {
				want = append(want, r)
			}
		}
		slices.SortFunc(want, func(a, b trail.Row) int { return a.At().Compare(b.At()) })
		equal(t, all(t, s, q), want)
	}
}

func pageEndsAtTime(t *testing.T, s Store) {
	rows := Rows(100)
	write(t, s, rows)
	q := trail.Query{From: now().Add(-time.Hour), To: now(), Limit: 1000, Payloads: true, After: &trail.Key{Time: rows[50].Time.UnixMilli()}}
	got := all(t, s, q)
	slices.Reverse(got)
	equal(t, got, rows[:50])
	q.Oldest = true
	equal(t, all(t, s, q), rows[50:])
}

func expiry(t *testing.T, s Store) {
	rows := Rows(4)
	for i := range rows[:3] {
		rows[i].Time = now().Add(-TTL - time.Duration(i+1)*time.Minute)
	}
	write(t, s, rows)
	write(t, s, nil, trail.Position{Topic: "calculate"}) // stores may clear up while writing
	got := all(t, s, trail.Query{From: now().Add(-3 * TTL), To: now(), Limit: 10, Payloads: true})
	equal(t, got, rows[3:])
	for _, r := range rows[:3] {
		if got, err := s.ByRequestID(t.Context(), r.RequestID); err != nil || len(got) != 0 {
			t.Errorf("an old row is still there: %v, %v", got, err)
		}
	}
}

func outcomes(t *testing.T, s Store) {
	rows := Rows(1200)
	ids := make([]string, 0, len(rows))
	for i := range rows {
		ids = append(ids, rows[i].RequestID)
		switch i % 3 {
		case 1:
			rows[i].Type, rows[i].Status = trail.Response, "ok"
		case 2:
			rows[i].Type, rows[i].Status = trail.DeadLetter, "malformed"
		}
	}
	write(t, s, rows)
	got, err := s.Outcomes(t.Context(), append(ids, "", "not an id", uuid.NewString()))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 800 {
		t.Errorf("%d outcomes, want 800", len(got))
	}
	for i, id := range ids {
		if got[id] != (i%3 != 0) {
			t.Fatalf("outcome of a %s: %v", rows[i].Type, got[id])
		}
	}
}

func endedContext(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(ctx, Rows(10), nil); err == nil {
		t.Error("Write with an ended context succeeds")
	}
	if _, err := s.ByTime(ctx, trail.Query{From: now().Add(-time.Minute), To: now(), Limit: 1}); err == nil {
		t.Error("ByTime with an ended context succeeds")
	}
	// And the store goes on.
	rows := Rows(10)
	write(t, s, rows)
	equal(t, all(t, s, trail.Query{From: now().Add(-time.Minute), To: now(), Limit: 100, Oldest: true, Payloads: true}), rows)
}

func largePayloads(t *testing.T, s Store) {
	rows := Rows(8)
	for i := range rows {
		rows[i].Payload = make([]byte, 1<<20)
	}
	write(t, s, rows)
	got, err := s.ByRequestID(t.Context(), rows[3].RequestID)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, rows[3:4])
}

// Benchmark measures rows stored a second, in writes of several sizes.
func Benchmark(b *testing.B, open func(b *testing.B) Store) {
	for _, size := range []int{1, 100, 2000} {
		b.Run(fmt.Sprintf("rows=%d", size), func(b *testing.B) {
			s := open(b)
			defer s.Close()
			rows := Rows(size)
			offset := int64(0)
			stored := 0
			for b.Loop() {
				b.StopTimer()
				for i := range rows {
					rows[i].RequestID = uuid.NewString()
					rows[i].Offset = offset
					offset++
				}
				b.StartTimer()
				if err := s.Write(b.Context(), rows, []trail.Position{{Topic: "calculate", Next: offset}}); err != nil {
					b.Fatal(err)
				}
				stored += size
			}
			b.ReportMetric(float64(stored)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
