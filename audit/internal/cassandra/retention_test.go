package cassandra

import (
	"testing"
	"time"

	"rrhost/audit/internal/storetest"
	"rrhost/audit/internal/trail"
)

func TestRowsLiveAsLongAsTheyAreYoung(t *testing.T) {
	s := emptied(t, migrated(t))
	rows := storetest.Rows(2)
	rows[1].Time = time.Now().Add(-storetest.TTL + time.Hour).UTC().Truncate(time.Millisecond)
	if err := s.Write(t.Context(), rows, nil); err != nil {
		t.Fatal(err)
	}
	for i, want := range []time.Duration{storetest.TTL, time.Hour} {
		ttl := count(t, s.session, "SELECT TTL(payload) FROM by_id WHERE request_id = ?", rows[i].RequestID)
		if got := time.Duration(ttl) * time.Second; got > want || got < want-time.Minute {
			t.Errorf("row %d lives for %s, want %s", i, got, want)
		}
	}
}

func TestReadingGoesOnAMinuteBack(t *testing.T) {
	s := emptied(t, migrated(t))
	at := time.Now()
	s.now = func() time.Time { return at }
	start := func() (next, start int64) {
		t.Helper()
		found, err := s.Positions(t.Context())
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		return found[0].Next, found[0].Start
	}
	store := func(next int64) {
		t.Helper()
		if err := s.Write(t.Context(), nil, []trail.Position{{Topic: "echo", Next: next, Start: 5}}); err != nil {
			t.Fatal(err)
		}
	}
	store(10)
	if next, start := start(); next != 10 || start != 5 {
		t.Errorf("at once: %d, %d", next, start)
	}
	at = at.Add(30 * time.Second)
	store(20)
	at = at.Add(31 * time.Second)
	store(30)
	if next, start := start(); next != 30 || start != 10 {
		t.Errorf("after a minute: %d, %d", next, start)
	}
	// A failure makes the last minute doubtful, whenever the next write is.
	s.forgetPoints()
	if _, start := start(); start != 10 {
		t.Errorf("after a failure: %d", start)
	}
	at = at.Add(time.Hour)
	store(40)
	if _, start := start(); start != 10 {
		t.Errorf("first write after a failure: %d", start)
	}
}

func TestBatchesHaveOnePartitionEach(t *testing.T) {
	s := &Store{layouts: layouts{{time.UnixMilli(0), time.Hour, 4}}, ttl: storetest.TTL, now: time.Now}
	s.session = emptied(t, migrated(t)).session
	rows := storetest.Rows(3000)
	kept := make([]*trail.Row, len(rows))
	for i := range rows {
		rows[i].Time = day.Add(time.Minute)
		kept[i] = &rows[i]
	}
	total := 0
	for _, b := range s.batches(kept, day) {
		if b.Size() > maxBatch {
			t.Errorf("a batch of %d rows", b.Size())
		}
		total += b.Size()
		for _, e := range b.Entries {
			if e.Args[1] != b.Entries[0].Args[1] || e.Args[0] != b.Entries[0].Args[0] {
				t.Fatalf("a batch has partitions %v and %v", e.Args[:2], b.Entries[0].Args[:2])
			}
		}
	}
	if total != len(rows) {
		t.Errorf("%d rows in batches", total)
	}
}
