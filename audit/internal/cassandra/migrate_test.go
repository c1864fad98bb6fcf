package cassandra

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"rrhost/audit/internal/storetest"
)

func TestHostsMigrateAtOnce(t *testing.T) {
	cfg := keyspace(t)
	var group errgroup.Group
	for range 4 {
		group.Go(func() error { return Migrate(t.Context(), cfg) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	s := emptied(t, cfg)
	if n := count(t, s.session, "SELECT count(*) FROM gocqlx_migrate"); n != 1 {
		t.Errorf("%d migrations are noted, want 1", n)
	}
	if n := count(t, s.session, "SELECT count(*) FROM layout"); n != 1 {
		t.Errorf("%d layouts, want 1", n)
	}
	if n := count(t, s.session, "SELECT count(*) FROM migration_lease"); n != 0 {
		t.Errorf("%d leases are left", n)
	}
}

func TestPrintedStatementsAreTheMigration(t *testing.T) {
	cfg := keyspace(t)
	if _, err := Open(t.Context(), cfg, "g"); err == nil {
		t.Error("a keyspace that isn't there is opened")
	}
	cfg.Audit.TTL = 720 * time.Hour
	session, err := connect(t.Context(), cfg, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { session.Close() }()
	for _, statement := range Statements(cfg) {
		if strings.HasPrefix(statement, "USE ") { // the driver refuses it; its sessions have a keyspace
			session.Close()
			if session, err = connect(t.Context(), cfg, keyspaceOf(cfg)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := session.ExecStmt(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if done, err := upToDate(t.Context(), session, cfg); err != nil || !done {
		t.Errorf("after the printed statements: up to date %v, %v", done, err)
	}
	if err := Migrate(t.Context(), cfg); err != nil {
		t.Errorf("Migrate after the printed statements: %v", err)
	}
}

func TestNewerSchemaIsAccepted(t *testing.T) {
	cfg := migrated(t)
	session, err := connect(t.Context(), cfg, keyspaceOf(cfg))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for _, statement := range []string{
		"ALTER TABLE by_id ADD op text", "ALTER TABLE by_time ADD op text",
		"INSERT INTO gocqlx_migrate (name, checksum, done) VALUES ('900_later.cql', 'x', 2)",
	} {
		if err := session.ExecStmt(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := Migrate(t.Context(), cfg); err != nil {
		t.Errorf("Migrate: %v", err)
	}
	s := emptied(t, cfg)
	rows := storetest.Rows(3)
	if err := s.Write(t.Context(), rows, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := s.ByRequestID(t.Context(), rows[0].RequestID); err != nil || len(got) != 1 {
		t.Errorf("ByRequestID = %v, %v", got, err)
	}
}

func TestOpenBeforeMigration(t *testing.T) {
	cfg := keyspace(t)
	if _, err := Open(t.Context(), cfg, "g"); !errors.Is(err, ErrNotMigrated) {
		t.Errorf("no keyspace: %v", err)
	}
	if err := ensureKeyspace(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), cfg, "g"); !errors.Is(err, ErrNotMigrated) {
		t.Errorf("an empty keyspace: %v", err)
	}
	session, err := connect(t.Context(), cfg, keyspaceOf(cfg))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	// As a host leaves it that died after the first statement.
	for _, statement := range []string{migrationTable, "INSERT INTO gocqlx_migrate (name, checksum, done) VALUES ('001_trail.cql', 'x', 1)"} {
		if err := session.ExecStmt(statement); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(t.Context(), cfg, "g"); !errors.Is(err, ErrNotMigrated) {
		t.Errorf("half a migration: %v", err)
	}
}

func TestLeaseKeepsOthersOut(t *testing.T) {
	cfg := migrated(t)
	session, err := connect(t.Context(), cfg, keyspaceOf(cfg))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	err = withLease(t.Context(), session, func(context.Context) error {
		ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
		defer cancel()
		err := withLease(ctx, session, func(context.Context) error { return errors.New("two have the lease") })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the second: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ran := false
	if err := withLease(t.Context(), session, func(context.Context) error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("after it is given back: %v", err)
	}
}

func TestLayoutStaysAsItWasMade(t *testing.T) {
	cfg := migrated(t)
	cfg.Audit.Cassandra.Shards, cfg.Audit.Cassandra.Bucket = 3, time.Hour
	if err := Migrate(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	s := emptied(t, cfg)
	if s.layouts[0].shards != 16 || s.layouts[0].bucket != 10*time.Minute {
		t.Errorf("layout = %+v", s.layouts)
	}
	if w := s.Warning(); !strings.Contains(w, "shards 16") {
		t.Errorf("warning = %q", w)
	}
}

func TestCompactionWindowFollowsRetention(t *testing.T) {
	for ttl, want := range map[time.Duration]int{720 * time.Hour: 24, 24 * time.Hour: 1, time.Hour: 1, 365 * 24 * time.Hour: 292} {
		if got := windowHours(ttl); got != want {
			t.Errorf("windowHours(%s) = %d, want %d", ttl, got, want)
		}
	}
	cfg := migrated(t) // for 24 h, where the schema has it for 720
	cfg.Audit.TTL = 2400 * time.Hour
	if err := Migrate(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	s := emptied(t, cfg)
	if stale, err := staleWindows(t.Context(), s.session, cfg); err != nil || len(stale) != 0 {
		t.Errorf("after Migrate: %v, %v", stale, err)
	}
}
