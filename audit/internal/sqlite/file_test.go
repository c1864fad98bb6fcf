package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rrhost/audit/internal/storetest"
	"rrhost/audit/internal/trail"
	"rrhost/internal/testservices"
)

func TestFileIsItsOwnersAlone(t *testing.T) {
	s := openTemp(t)
	if err := s.Write(t.Context(), storetest.Rows(1), nil); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(s.path + "*")
	if err != nil || len(files) != 3 {
		t.Fatalf("files %v, %v; want the file, -wal and -shm", files, err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", f, info.Mode().Perm())
		}
	}
	if info, err := os.Stat(filepath.Dir(s.path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
}

func TestSettings(t *testing.T) {
	s := openTemp(t)
	settings := func(want map[string]string) {
		t.Helper()
		for pragma, want := range want {
			var got string
			if err := s.write.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s = %s, %v; want %s", pragma, got, err, want)
			}
		}
	}
	settings(map[string]string{"journal_mode": "wal", "synchronous": "2", "auto_vacuum": "2"})
	if err := s.Write(t.Context(), nil, []trail.Position{{Topic: "a"}}); err != nil {
		t.Fatal(err)
	}
	settings(map[string]string{"journal_mode": "wal", "synchronous": "1"})
	if err := s.Write(t.Context(), storetest.Rows(1), nil); err != nil {
		t.Fatal(err)
	}
	settings(map[string]string{"journal_mode": "wal", "synchronous": "2"})
}

// Rows are synced whatever the write before them left behind.
func TestRowsAreSynced(t *testing.T) {
	s := openTemp(t)
	for range 2 {
		if _, err := s.write.Exec("PRAGMA synchronous = NORMAL"); err != nil {
			t.Fatal(err)
		}
		if err := s.Write(t.Context(), storetest.Rows(1), nil); err != nil {
			t.Fatal(err)
		}
		var mode string
		if err := s.write.QueryRow("PRAGMA synchronous").Scan(&mode); err != nil || mode != "2" {
			t.Errorf("rows are written with synchronous = %s, %v; want 2", mode, err)
		}
	}
}

func TestFileStaysSmall(t *testing.T) {
	testservices.Long(t)
	s := openTemp(t)
	clock := time.Now()
	s.now = func() time.Time { return clock }
	offset := int64(0)
	size := func() int64 {
		t.Helper()
		info, err := os.Stat(s.path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	day := func(rows int) {
		t.Helper()
		for range 10 {
			batch := storetest.Rows(rows / 10)
			for i := range batch {
				batch[i].Offset, batch[i].Time = offset, clock.Truncate(time.Millisecond)
				offset++
			}
			if err := s.Write(t.Context(), batch, nil); err != nil {
				t.Fatal(err)
			}
			clock = clock.Add(storetest.TTL / 10)
		}
	}
	checkpoint := func() {
		t.Helper()
		if _, err := s.write.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			t.Fatal(err)
		}
	}
	day(1500)
	day(1500)
	checkpoint()
	steady := size()
	for range 4 {
		day(1500)
	}
	checkpoint()
	if size() > steady*3/2 {
		t.Errorf("the file grew from %d to %d bytes under an even load", steady, size())
	}
	for range 100 { // quiet days: only positions are written
		day(10)
		if size() < steady/4 {
			break
		}
		checkpoint()
	}
	if size() > steady/4 {
		t.Errorf("the file keeps %d of %d bytes after its rows have gone", size(), steady)
	}
}

func TestNewerSchemaIsRead(t *testing.T) {
	s := openTemp(t)
	rows := storetest.Rows(3)
	if err := s.Write(t.Context(), rows, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.write.Exec("ALTER TABLE rows ADD COLUMN op TEXT; PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	again, err := Open(t.Context(), s.path, storetest.TTL)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := again.Write(t.Context(), rows, nil); err != nil {
		t.Errorf("a host of this version cannot write: %v", err)
	}
	r, err := OpenReader(t.Context(), s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := r.ByRequestID(t.Context(), rows[0].RequestID); err != nil || len(got) != 1 {
		t.Errorf("a reader of this version sees %v, %v", got, err)
	}
}

func TestNoTrail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	if _, err := OpenReader(t.Context(), path); !errors.Is(err, ErrMissing) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenReader(t.Context(), path); !errors.Is(err, ErrMissing) {
		t.Errorf("an empty file: %v", err)
	}
	if err := os.WriteFile(path, []byte("this is not a database, and long enough to be seen as none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, time.Hour); err == nil {
		t.Error("a file of something else is opened")
	}
}

func TestAtLeast(t *testing.T) {
	for version, want := range map[string]bool{
		"3.51.3": true, "3.51.4": true, "3.52.0": true, "4.0.0": true, "3.51.2": false, "3.7.0": false, "2.99.99": false, "3.51": false, "": false, "x.y.z": false,
	} {
		if got := atLeast(version, minVersion); got != want {
			t.Errorf("atLeast(%q) = %v", version, got)
		}
	}
}

func TestPathIsNoOption(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a?mode=memory&x=#%41 b", "audit.db")
	s, err := Open(t.Context(), path, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("the file: %v, %v", info, err)
	}
}
