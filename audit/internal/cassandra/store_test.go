package cassandra

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scylladb/gocqlx/v2"
	"go.uber.org/goleak"

	"rrhost/audit/internal/storetest"
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
