package golden

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // the driver

	"rrhost/audit"
	"rrhost/config"
)

// goldenTrail is a trail as a host of schema 1 has written it. It has the rows of
// the golden records.
func goldenTrail(t *testing.T) config.Config {
	t.Helper()
	text, err := os.ReadFile("testdata/trail-v1.sql")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Config{Dir: t.TempDir(), Topics: []config.Topic{{Name: "calculate"}}}.WithDefaults()
	folder := cfg.Path(cfg.Embedded.Dir)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := openTrail(t, cfg).ExecContext(t.Context(), string(text)); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// openTrail opens a trail's file behind the back of package audit.
func openTrail(t *testing.T, cfg config.Config) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(cfg.Path(cfg.Embedded.Dir), "audit.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// version is the number of a trail's schema.
func version(t *testing.T, db *sql.DB) int {
	t.Helper()
	var n int
	if err := db.QueryRowContext(t.Context(), "PRAGMA user_version").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// readable checks that today's reader finds the golden rows, and opens them.
func readable(t *testing.T, cfg config.Config) {
	t.Helper()
	all, ring := readRecords(t)
	reader, err := audit.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	found, want := 0, 0
	for _, r := range append(all.Requests, all.Replies...) {
		if r.Value == "" {
			continue // a reply that is not sealed has nothing to open
		}
		want++
		rows, err := reader.ByRequestID(t.Context(), r.header("request_id"))
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			kind := audit.TypeRequest
			if r.header("status") != "" {
				kind = audit.TypeResponse
			}
			if row.Type != kind {
				continue
			}
			found++
			payload, _, err := row.Open(ring)
			if err != nil || string(payload) != r.Plain {
				t.Errorf("%s %s: opened as %q, %v; want %q", row.Type, row.RequestID, payload, err, r.Plain)
			}
		}
	}
	if found != want {
		t.Errorf("the trail has %d of %d records", found, want)
	}
}

func TestOldTrailIsRead(t *testing.T) {
	cfg := goldenTrail(t)
	// A host upgrades it when it starts.
	if err := audit.Migrate(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	readable(t, cfg)
}

// TestNewerTrailIsRead: schemas only grow, so this version reads one that a newer
// has upgraded, and a host of this version does not take it back.
func TestNewerTrailIsRead(t *testing.T) {
	cfg := goldenTrail(t)
	if err := audit.Migrate(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	db := openTrail(t, cfg)
	newer := version(t, db) + 1
	if _, err := db.ExecContext(t.Context(), fmt.Sprintf(`
		ALTER TABLE rows ADD COLUMN later TEXT NOT NULL DEFAULT '';
		ALTER TABLE positions ADD COLUMN later TEXT;
		CREATE TABLE later (id INTEGER PRIMARY KEY);
		PRAGMA user_version = %d`, newer)); err != nil {
		t.Fatal(err)
	}
	readable(t, cfg)
	if err := audit.Migrate(t.Context(), cfg); err != nil {
		t.Errorf("a host of this version does not start on it: %v", err)
	}
	if got := version(t, db); got != newer {
		t.Errorf("its schema went from %d to %d", newer, got)
	}
	readable(t, cfg)
}
