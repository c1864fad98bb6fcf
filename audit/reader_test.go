package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"rrhost/audit/internal/sqlite"
	"rrhost/audit/internal/storetest"
	"rrhost/audit/internal/trail"
	"rrhost/config"
)

func trailPosition(next, start int64) trail.Position { return trail.Position{Next: next, Start: start} }

// filled is a trail with rows in it and its reader.
func filled(t testing.TB, rows []trail.Row, complete time.Time) (*Reader, *sqlite.Store) {
	t.Helper()
	cfg := config.Config{Topics: []config.Topic{{Name: "calculate"}}, Dir: t.TempDir(), Embedded: config.EmbeddedBroker{Dir: "data"}}.WithDefaults()
	s, err := sqlite.Open(t.Context(), filepath.Join(cfg.Dir, "data", "audit.db"), cfg.Audit.TTL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	write(t, s, rows, complete)
	r, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	r.poll = 5 * time.Millisecond
	return r, s
}

func write(t testing.TB, s *sqlite.Store, rows []trail.Row, complete time.Time) {
	t.Helper()
	positions := []trail.Position{
		{Topic: "calculate", Complete: complete}, {Topic: "calculate", Partition: 1, Complete: complete.Add(time.Hour)},
		{Topic: "rr.replies", Complete: complete}, {Topic: "calculate.dlq", Partition: trail.NoPartition, Complete: complete},
	}
	if err := s.Write(t.Context(), rows, positions); err != nil {
		t.Fatal(err)
	}
}

func now() time.Time { return ms(time.Now()) }

func TestPagesOfARange(t *testing.T) {
	rows := storetest.Rows(95)
	r, _ := filled(t, rows, now())
	for _, oldest := range []bool{false, true} {
		var got []int64
		q := Range{Limit: 10, Oldest: oldest}
		for pages := 1; ; pages++ {
			page, err := r.ByTime(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range page.Rows {
				got = append(got, row.Time.UnixMilli())
			}
			if page.Cursor == "" {
				if pages != 10 {
					t.Errorf("%d pages", pages)
				}
				break
			}
			q.Cursor = page.Cursor
		}
		if !oldest {
			slices.Reverse(got)
		}
		if len(got) != 95 || !slices.IsSorted(got) {
			t.Errorf("oldest=%v: %d rows, sorted %v", oldest, len(got), slices.IsSorted(got))
		}
	}
}

func TestWrongQuestions(t *testing.T) {
	r, _ := filled(t, storetest.Rows(3), now())
	page, err := r.ByTime(t.Context(), Range{Limit: 1})
	if err != nil || page.Cursor == "" {
		t.Fatal(page, err)
	}
	at := now()
	for _, q := range []Range{
		{Limit: -1}, {Limit: MaxLimit + 1}, {Type: "reply"}, {From: at, To: at.Add(-time.Second)},
		{Cursor: "x"}, {Cursor: strings.Repeat("A", 10_000)}, {Cursor: page.Cursor, Topic: "other"}, {Cursor: page.Cursor, Oldest: true},
	} {
		if _, err := r.ByTime(t.Context(), q); err == nil {
			t.Errorf("ByTime(%+v) is answered", q)
		} else if q.Cursor != "" && !errors.Is(err, ErrCursor) {
			t.Errorf("ByTime(%+v) = %v", q, err)
		}
	}
	if page, err := r.ByTime(t.Context(), Range{From: at.Add(time.Hour)}); err != nil || len(page.Rows) != 0 || page.Cursor != "" {
		t.Errorf("a range from the future: %+v, %v", page, err)
	}
}

func FuzzCursor(f *testing.F) {
	const hash = 7
	f.Add(cursor{trail.Key{Time: 1, Topic: "echo", Partition: 2, Offset: 3}, 4, hash}.String())
	f.Add(cursor{trail.Key{Time: 1}, 4, hash + 1}.String())
	f.Add(cursor{trail.Key{Time: -1, Topic: "\x00"}, 4, hash}.String())
	f.Add("")
	f.Add("AQ==")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCursor(text, hash)
		if err != nil {
			if !errors.Is(err, ErrCursor) {
				t.Errorf("error is %v", err)
			}
			return
		}
		if c.String() != text {
			t.Errorf("%q comes back as %q", text, c.String())
		}
		if c.at.Time < 0 || c.at.Partition < 0 || c.at.Offset < 0 || len(c.at.Topic) > maxTopic {
			t.Errorf("cursor %+v", c)
		}
	})
}

func TestRequestsWithoutOutcome(t *testing.T) {
	rows := storetest.Rows(5)
	base := now().Add(-time.Hour)
	for i := range rows {
		rows[i].Time = base.Add(time.Duration(i) * time.Second)
	}
	rows[1].Time = now() // its deadline is to come
	reply := rows[2]
	reply.Type, reply.Topic, reply.Status, reply.Time = TypeResponse, "rr.replies", "ok", base.Add(time.Minute)
	rows[3].Status, rows[3].Success = "malformed", false
	want := map[string]bool{rows[0].RequestID: true, rows[4].RequestID: true}

	r, s := filled(t, append(rows, reply), base) // not complete up to the deadlines
	check := func(want map[string]bool) {
		t.Helper()
		for _, status := range []string{"", StatusNoOutcome} {
			page, err := r.ByTime(t.Context(), Range{Status: status, Oldest: true})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for _, row := range page.Rows {
				if row.Status == StatusNoOutcome {
					got[row.RequestID] = !row.Success
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) || status != "" && len(page.Rows) != len(want) {
				t.Errorf("status %q: without outcome are %v, want %v", status, got, want)
			}
		}
		for _, row := range rows {
			found, err := r.ByRequestID(t.Context(), row.RequestID)
			if err != nil {
				t.Fatal(err)
			}
			if (found[0].Status == StatusNoOutcome) != want[row.RequestID] {
				t.Errorf("ByRequestID: %+v", found[0])
			}
		}
	}
	check(map[string]bool{})
	write(t, s, nil, now())
	check(want)
	// Alone on its page, a request is looked up.
	page, err := r.ByTime(t.Context(), Range{From: rows[2].Time, To: rows[2].Time.Add(time.Millisecond)})
	if err != nil || len(page.Rows) != 1 || page.Rows[0].Status != "" {
		t.Errorf("an answered request: %+v, %v", page.Rows, err)
	}
}

func TestCompleteUntil(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	p := func(topic string, partition int32, s int) trail.Position {
		return trail.Position{Topic: topic, Partition: partition, Complete: at(s)}
	}
	tests := []struct {
		name      string
		positions []trail.Position
		want      time.Time
		unread    []string
	}{
		{"nothing was read", nil, time.Time{}, []string{"a", "b"}},
		{"the least of all partitions", []trail.Position{p("a", 0, 5), p("a", 1, 3), p("b", 0, 4)}, at(3), nil},
		{"a topic was never read", []trail.Position{p("a", 0, 5)}, time.Time{}, []string{"b"}},
		{"a partition is read, and how far is not known", []trail.Position{p("a", 0, 5), {Topic: "b"}}, time.Time{}, []string{"b"}},
		{"a topic is not there", []trail.Position{p("a", 0, 5), p("b", trail.NoPartition, 4)}, at(4), nil},
		{"a topic was not there once", []trail.Position{p("a", 0, 5), p("b", trail.NoPartition, 4), p("b", 0, 6)}, at(5), nil},
		{"a topic that is no longer configured", []trail.Position{p("a", 0, 5), p("b", 0, 6), p("old", 0, 1)}, at(5), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := completeUntil(tt.positions, []string{"a", "b"}); !got.Equal(tt.want) {
				t.Errorf("= %s, want %s", got, tt.want)
			}
			if got := unread(tt.positions, []string{"a", "b"}); !slices.Equal(got, tt.unread) {
				t.Errorf("unread: %v, want %v", got, tt.unread)
			}
		})
	}
}

func TestFollow(t *testing.T) {
	begin := now().Add(-time.Minute)
	rows := storetest.Rows(30)
	for i := range rows {
		rows[i].Time = begin.Add(time.Duration(i) * time.Second)
	}
	r, s := filled(t, slices.Concat(rows[:10], rows[15:20]), rows[10].Time) // 15 to 19 are there too early
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []string
	for row, err := range r.Follow(ctx, Range{From: begin, Limit: 3}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, row.RequestID)
		switch len(got) {
		case 10:
			write(t, s, rows[10:15], rows[20].Time)
		case 20:
			write(t, s, rows[20:], now())
		case 30:
			cancel()
		}
	}
	var want []string
	for _, row := range rows {
		want = append(want, row.RequestID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("followed %d rows in an order that is not theirs", len(got))
	}
	for range r.Follow(t.Context(), Range{From: begin}) {
		break // and the iterator ends
	}
}

func TestWaitOutcome(t *testing.T) {
	// Either may be stored first: they come from different partitions.
	request := storetest.Rows(1)[0]
	reply := request
	reply.Type, reply.Topic = TypeResponse, "rr.replies"
	for name, rows := range map[string][]trail.Row{"request first": {request, reply}, "reply first": {reply, request}} {
		t.Run(name, func(t *testing.T) {
			r, s := filled(t, rows[:1], now())
			id := request.RequestID
			const wait = 20 * time.Millisecond
			start := time.Now()
			got, err := r.WaitOutcome(t.Context(), id, wait)
			if took := time.Since(start); err != nil || len(got) != 1 || took < wait {
				t.Errorf("one of the two: %+v, %v, after %v", got, err, took)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if got, err := r.WaitOutcome(t.Context(), id, time.Minute); err != nil || len(got) != 2 {
					t.Errorf("both: %+v, %v", got, err)
				}
			}()
			write(t, s, rows[1:], now())
			<-done
		})
	}
	r, _ := filled(t, nil, now())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.WaitOutcome(ctx, uuid.NewString(), time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

func TestOpenWithoutTrail(t *testing.T) {
	cfg := config.Config{Dir: t.TempDir()}.WithDefaults()
	if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrNoTrail) || !strings.Contains(err.Error(), "hint: ") {
		t.Errorf("no file: %v", err)
	}
	if _, err := os.Stat(cfg.Path(cfg.Embedded.Dir)); err == nil {
		t.Error("opening to read has made a folder")
	}
	cfg.Audit.Store = "none"
	if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrNoStore) {
		t.Errorf("no store: %v", err)
	}
	if _, err := NewIngester(cfg, nil); !errors.Is(err, ErrNoStore) {
		t.Errorf("ingester without a store: %v", err)
	}
	if err := Migrate(t.Context(), cfg); !errors.Is(err, ErrNoStore) {
		t.Errorf("migrate without a store: %v", err)
	}
	if s := MigrationStatements(cfg); s != nil {
		t.Errorf("statements without a store: %v", s)
	}
}

func TestMigrationStatements(t *testing.T) {
	cfg := config.Config{Audit: config.Audit{Store: "embedded"}}
	for store, want := range map[string]string{"embedded": "CREATE TABLE rows", "cassandra": "CREATE TABLE IF NOT EXISTS by_id"} {
		cfg.Audit.Store = store
		all := MigrationStatements(cfg)
		if !slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("%s: %q", store, all)
		}
	}
}

func TestRowAsJSON(t *testing.T) {
	row := Row{RequestID: "id", Time: time.UnixMilli(1).UTC(), Type: TypeResponse, Topic: "rr.replies", RequestTopic: "echo", Status: "ok", Success: true, Payload: []byte{1}}
	text, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"request_id":"id","timestamp":"1970-01-01T00:00:00.001Z","record_timestamp":"0001-01-01T00:00:00Z","type":"response","topic":"rr.replies","partition":0,"offset":0,"request_topic":"echo","success":true,"status":"ok","payload_sealed":"AQ=="}`
	if string(text) != want {
		t.Errorf("JSON is\n%s, want\n%s", text, want)
	}
}
