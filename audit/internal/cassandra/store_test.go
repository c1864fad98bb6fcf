package cassandra

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scylladb/gocqlx/v2"
	"go.uber.org/goleak"

	"rrhost/audit/internal/storetest"
	"rrhost/audit/internal/trail"
	"rrhost/config"
	"rrhost/internal/testservices"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSuite(t *testing.T) {
	cfg := migrated(t)
	storetest.Run(t, func(t *testing.T) storetest.Store { return emptied(t, cfg) })
}

func BenchmarkWrite(b *testing.B) {
	cfg := migrated(b)
	storetest.Benchmark(b, func(b *testing.B) storetest.Store { return emptied(b, cfg) })
}

var keyspaces atomic.Int64

// keyspace names one that is there for this test alone.
func keyspace(t testing.TB) config.Config {
	t.Helper()
	host := testservices.Cassandra(t)
	cfg := config.Config{Audit: config.Audit{Store: "cassandra", TTL: storetest.TTL}}.WithDefaults()
	cfg.Audit.Cassandra.Hosts = []string{host}
	cfg.Audit.Cassandra.LocalDatacenter = ""
	cfg.Audit.Cassandra.Keyspace = fmt.Sprintf("audit_%d_%d_%d", os.Getpid(), time.Now().UnixMilli()%1e6, keyspaces.Add(1))
	t.Cleanup(func() {
		session, err := connect(context.Background(), cfg, "") // the test's context has ended
		if err != nil {
			t.Error(err)
			return
		}
		defer session.Close()
		if err := session.ExecStmt("DROP KEYSPACE IF EXISTS " + keyspaceOf(cfg)); err != nil {
			t.Error(err)
		}
	})
	return cfg
}

func migrated(t testing.TB) config.Config {
	t.Helper()
	cfg := keyspace(t)
	if err := Migrate(t.Context(), cfg); err != nil {
		t.Fatalf("Migrate: %v", err)
	}
	return cfg
}

// emptied opens a store on a keyspace whose tables it has emptied.
func emptied(t testing.TB, cfg config.Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), cfg, "workers.audit")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for _, table := range []string{"by_id", "by_time", "positions"} {
		if err := s.session.ExecStmt("TRUNCATE " + table); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func count(t *testing.T, session gocqlx.Session, statement string, args ...any) int {
	t.Helper()
	var n int
	if err := session.Query(statement, nil).Bind(args...).Scan(&n); err != nil {
		t.Fatal(strings.TrimSpace(statement), ": ", err)
	}
	return n
}

// Cassandra refuses a row of more than half a commit log segment, 16 MiB, and with
// it the whole write, again and again: nothing that a requester chooses may make
// one.
func TestNoRowIsLargerThanCassandraTakes(t *testing.T) {
	const id, most = "6f1c1f0a-3b52-4a1e-9c3d-0d8a5f3b2c12", 16 << 20
	large := make([]byte, 20<<20)
	for name, r := range map[string]trail.Row{
		"payload": {Payload: large}, "key": {Key: large}, "both": {Key: large[:7<<20], Payload: large[:7<<20]},
		"many": {Key: large[:9<<20], Payload: large[:9<<20]},
	} {
		r.RequestID = id
		values, err := byIDValues(&r)
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, v := range values {
			if b, ok := v.([]byte); ok {
				size += len(b)
			}
		}
		if size > most/2 {
			t.Errorf("%s: the row has %d bytes", name, size)
		}
	}
	small := trail.Row{RequestID: id, Key: large[:1<<20], Payload: large[:1<<20]}
	values, err := byIDValues(&small)
	if err != nil || len(values[17].([]byte)) != 1<<20 || len(values[22].([]byte)) != 1<<20 {
		t.Errorf("a row that fits lacks its key or payload (%v)", err)
	}
}

// What a node takes is its operator's to set: a row that it refuses for its size is
// stored without payload and key, and stops nothing.
func TestRowThatIsRefusedForItsSize(t *testing.T) {
	s := emptied(t, migrated(t))
	const refused = 5 << 20 // the node of the tests takes 4 MiB
	row := func(offset int64, id string, content int) trail.Row {
		return trail.Row{
			RequestID: id, Type: trail.Request, Topic: "topic", Offset: offset, Time: time.Now().UTC().Truncate(time.Millisecond),
			Key: []byte("key"), Payload: make([]byte, content),
		}
	}
	rows := []trail.Row{
		row(1, "6f1c1f0a-3b52-4a1e-9c3d-0d8a5f3b2c11", 1<<20),
		row(2, "6f1c1f0a-3b52-4a1e-9c3d-0d8a5f3b2c12", refused),
		row(3, "6f1c1f0a-3b52-4a1e-9c3d-0d8a5f3b2c13", 100),
	}
	if err := s.Write(t.Context(), rows, nil); err != nil {
		t.Fatal(err)
	}
	rows[1].Key, rows[1].Payload = nil, nil
	for _, want := range rows {
		got, err := s.ByRequestID(t.Context(), want.RequestID)
		if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("at %d: %d rows, which are not what was written (%v)", want.Offset, len(got), err)
		}
	}
	if n := count(t, s.session, "SELECT count(*) FROM by_time"); n != len(rows) {
		t.Errorf("%d rows by time, want %d", n, len(rows))
	}
}

// Both limits of a node are told from everything else that it says.
func TestTooLarge(t *testing.T) {
	s := emptied(t, migrated(t))
	insert := func(statement string, content int) error {
		return s.session.Query(statement, nil).
			Bind("6f1c1f0a-3b52-4a1e-9c3d-0d8a5f3b2c12", trail.Request, "topic", 1, int64(1), make([]byte, content)).ExecRelease()
	}
	const into = "INSERT INTO by_id (request_id, type, topic, part, off, payload) VALUES (?,?,?,?,?,?)"
	for _, tt := range []struct {
		statement string
		content   int
		want      bool
	}{
		{into, 5 << 20, true},  // a mutation
		{into, 20 << 20, true}, // a request
		{strings.Replace(into, "by_id", "nowhere", 1), 10, false},
		{into + " USING TTL -1", 10, false},
	} {
		if err := insert(tt.statement, tt.content); err == nil || tooLarge(err) != tt.want {
			t.Errorf("%s, %d bytes: %v is said to be for its size: %t", tt.statement, tt.content, err, tooLarge(err))
		}
	}
}
