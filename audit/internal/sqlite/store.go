// Package sqlite is the embedded audit store: one file, one writer, readers
// also from other processes.
//
// Rows and positions are written in one transaction, which is synced to disk
// before it is acknowledged: the trail has each record exactly once and needs
// no going back after a crash.
//
// The file is kept small by deleting: each write also removes some rows that
// are past their time, more than it adds, and gives free pages back to the file
// system when they are many. A file a day that is unlinked whole would spare
// that work, but costs a merge over files in every query and a lookup in each
// for every id; one file is what any SQLite tool opens, too.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	_ "modernc.org/sqlite" // the driver
)

//go:embed schema/*.sql
var schema embed.FS

// minVersion of SQLite: before it, two connections that write or checkpoint at
// the same moment can corrupt a WAL file.
var minVersion = [3]int{3, 51, 3}

// ErrMissing is what [OpenReader] returns where there is no trail yet.
var ErrMissing = errors.New("no audit trail")

// A Store is an open file. Write is for one caller at a time, all else for any
// number.
type Store struct {
	path string
	ttl  time.Duration
	now  func() time.Time

	read *sql.DB

	mu      sync.Mutex // held while writing
	write   *sql.DB    // nil: opened for reading
	insert  *sql.Stmt
	advance *sql.Stmt
}

// Open opens the file at path for writing and reading, and makes it, readable
// by its owner alone, where it is missing. Rows older than ttl are removed.
func Open(ctx context.Context, path string, ttl time.Duration) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, advise(fmt.Errorf("audit store: %w", err))
	}
	// SQLite gives its -wal and -shm files the same mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, advise(fmt.Errorf("audit store: %w", err))
	}
	if err := f.Close(); err != nil {
		return nil, advise(fmt.Errorf("audit store: %w", err))
	}
	s := &Store{path: path, ttl: ttl, now: time.Now}
	if err := s.openWriter(ctx); err != nil {
		s.Close()
		return nil, advise(fmt.Errorf("audit store %s: %w", path, err))
	}
	s.read = openPool(path)
	return s, nil
}

// OpenReader opens an existing file for reading, also while another process
// writes it. Where there is none the error is [ErrMissing].
func OpenReader(ctx context.Context, path string) (*Store, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w at %s", ErrMissing, path)
	}
	s := &Store{path: path, now: time.Now, read: openPool(path)}
	if err := s.checkReadable(ctx); err != nil {
		s.Close()
		return nil, advise(fmt.Errorf("audit store %s: %w", path, err))
	}
	return s, nil
}

func (s *Store) openWriter(ctx context.Context) error {
	s.write = open(s.path, "mode=rw", "_busy_timeout=10000", "_auto_vacuum=incremental",
		"_journal_mode=WAL", "_synchronous=FULL", "_txlock=immediate",
		"_pragma=wal_autocheckpoint(4000)", "_pragma=journal_size_limit(67108864)", "_pragma=cache_size(-16384)")
	s.write.SetMaxOpenConns(1)
	if err := checkVersion(ctx, s.write); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	var err error
	if s.insert, err = s.write.PrepareContext(ctx, insertRow); err != nil {
		return err
	}
	s.advance, err = s.write.PrepareContext(ctx, advancePosition)
	return err
}

// openPool opens connections that cannot write. They are not opened mode=ro:
// such a connection cannot read a WAL file that nobody has open.
func openPool(path string) *sql.DB {
	db := open(path, "mode=rw", "_busy_timeout=10000", "_query_only=1")
	db.SetMaxOpenConns(4)
	return db
}

func open(path string, options ...string) *sql.DB {
	// A URL, so that no character of the path is taken for an option.
	name := (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path)}).EscapedPath()
	db, err := sql.Open("sqlite", "file:"+name+"?"+strings.Join(options, "&"))
	if err != nil {
		panic("sqlite driver: " + err.Error()) // it is linked in, and opens nothing yet
	}
	return db
}

func checkVersion(ctx context.Context, db *sql.DB) error {
	var text string
	if err := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&text); err != nil {
		return err
	}
	if !atLeast(text, minVersion) {
		return fmt.Errorf("SQLite %s can corrupt a WAL file; at least %d.%d.%d is needed",
			text, minVersion[0], minVersion[1], minVersion[2])
	}
	return nil
}

func atLeast(version string, want [3]int) bool {
	parts := strings.SplitN(version, ".", 4)
	for i, w := range want {
		if i >= len(parts) {
			return false
		}
		n, err := strconv.Atoi(parts[i])
		if err != nil || n != w {
			return err == nil && n > w
		}
	}
	return true
}

// migrate brings the file's schema up to ours. A newer one stays: schemas only
// grow.
func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Glob(schema, "schema/*.sql")
	if err != nil {
		return err
	}
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var have int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	for i, name := range files {
		if i < have {
			continue
		}
		text, err := schema.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, string(text)); err != nil {
			return fmt.Errorf("schema %s: %w", filepath.Base(name), err)
		}
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", i+1)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (s *Store) checkReadable(ctx context.Context) error {
	if err := checkVersion(ctx, s.read); err != nil {
		return err
	}
	files, err := fs.Glob(schema, "schema/*.sql")
	if err != nil {
		return err
	}
	var have int
	if err := s.read.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	switch {
	case have == 0:
		return fmt.Errorf("%w: the file is empty", ErrMissing)
	case have < len(files):
		return fmt.Errorf("its schema is at %d and %d is needed: a host of this version upgrades it when it starts", have, len(files))
	}
	return nil
}

// Close waits for what runs. It may be called twice.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.insert != nil {
		errs = append(errs, s.insert.Close())
	}
	if s.advance != nil {
		errs = append(errs, s.advance.Close())
	}
	if s.read != nil {
		errs = append(errs, s.read.Close())
	}
	if s.write != nil { // last: it folds the WAL into the file
		errs = append(errs, s.write.Close())
	}
	return errors.Join(errs...)
}

// Statements are the schema, in the order in which [Open] executes it.
func Statements() []string {
	var all []string
	files, err := fs.Glob(schema, "schema/*.sql")
	if err != nil {
		panic(err) // a constant pattern
	}
	for _, name := range files {
		text, err := schema.ReadFile(name)
		if err != nil {
			panic(err) // embedded
		}
		for statement := range strings.SplitSeq(withoutComments(string(text)), ";") {
			if statement = strings.TrimSpace(statement); statement != "" {
				all = append(all, statement)
			}
		}
	}
	return all
}

func withoutComments(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		code, _, _ := strings.Cut(line, "--")
		if code = strings.TrimRightFunc(code, unicode.IsSpace); code != "" {
			b.WriteString(code + "\n")
		}
	}
	return b.String()
}
