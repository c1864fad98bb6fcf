package cassandra

import (
	"context"
	"crypto/md5"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/gocql/gocql"
	"github.com/scylladb/gocqlx/v2"
	"github.com/scylladb/gocqlx/v2/migrate"

	"rrhost/config"
)

// The runner splits a file at every semicolon, also in comments: keep them out.
//
//go:embed schema/*.cql
var embedded embed.FS

const (
	defaultReplication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"

	migrationTable = "CREATE TABLE IF NOT EXISTS gocqlx_migrate (name text PRIMARY KEY, checksum text, done int, start_time timestamp, end_time timestamp)"

	leaseTable = "CREATE TABLE IF NOT EXISTS migration_lease (name text PRIMARY KEY, owner uuid)"
	leaseName  = "migrate"
	// leaseTTL is how long a host that died in the middle keeps others out.
	leaseTTL   = 60 * time.Second
	leaseRetry = 500 * time.Millisecond
)

// awaitEachStatement sets the runner's one switch for it, which is a variable
// of its package: without it a table may be used before all nodes know it.
var awaitEachStatement = sync.OnceFunc(func() {
	migrate.DefaultAwaitSchemaAgreement = migrate.AwaitSchemaAgreementBeforeEachStatement
})

func migrations() fs.FS {
	sub, err := fs.Sub(embedded, "schema")
	if err != nil {
		panic(err) // a constant of this file
	}
	return sub
}

// Statements are what [Migrate] executes on an empty cluster, for somebody who
// may and a host who may not.
func Statements(cfg config.Config) []string {
	all := []string{createKeyspace(cfg), "USE " + keyspaceOf(cfg), migrationTable}
	files := migrations()
	names, err := fs.Glob(files, "*.cql")
	if err != nil {
		panic(err) // a constant pattern
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			panic(err) // embedded
		}
		statements := 0
		for statement := range strings.SplitSeq(string(text), ";") {
			if statement = strings.TrimSpace(statement); statement != "" {
				all = append(all, statement)
				statements++
			}
		}
		// The runner's own note, so that later versions know what was done.
		all = append(all, fmt.Sprintf("INSERT INTO gocqlx_migrate (name, checksum, done) VALUES ('%s', '%x', %d)", name, md5.Sum(text), statements))
	}
	for _, table := range []string{"by_id", "by_time"} {
		if w := windowHours(cfg.Audit.TTL); w != defaultWindow {
			all = append(all, alterWindow(table, w))
		}
	}
	l := wantedLayout(cfg)
	return append(all, fmt.Sprintf("INSERT INTO layout (name, since, bucket_ms, shards) VALUES ('%s', %d, %d, %d) IF NOT EXISTS",
		layoutName, l.since.UnixMilli(), l.bucket.Milliseconds(), l.shards))
}

func createKeyspace(cfg config.Config) string {
	replication := cfg.Audit.Cassandra.Replication
	if replication == "" {
		replication = defaultReplication
	}
	return "CREATE KEYSPACE IF NOT EXISTS " + keyspaceOf(cfg) + " WITH replication = " + replication
}

// Migrate makes the keyspace where it is missing and brings its tables up to
// this version. Any number of hosts may call it at once: one works, the others
// wait for it. Tables of a newer version are left alone: schemas only grow.
func Migrate(ctx context.Context, cfg config.Config) error {
	awaitEachStatement()
	if err := ensureKeyspace(ctx, cfg); err != nil {
		return err
	}
	session, err := connect(ctx, cfg, keyspaceOf(cfg))
	if err != nil {
		return err
	}
	defer session.Close()
	done, err := upToDate(ctx, session, cfg)
	if err != nil || done {
		return err
	}
	if err := execute(ctx, session, leaseTable); err != nil {
		return fmt.Errorf("cassandra: migration lease: %w", err)
	}
	if err := session.AwaitSchemaAgreement(ctx); err != nil {
		return fmt.Errorf("cassandra: migration lease: %w", err)
	}
	return withLease(ctx, session, func(ctx context.Context) error {
		// Somebody else may have done it while we waited.
		if done, err := upToDate(ctx, session, cfg); err != nil || done {
			return err
		}
		return apply(ctx, session, cfg)
	})
}

func apply(ctx context.Context, session gocqlx.Session, cfg config.Config) error {
	applied, err := migrate.List(ctx, session)
	if err != nil {
		return fmt.Errorf("cassandra: migrate: %w", err)
	}
	names, err := fs.Glob(migrations(), "*.cql")
	if err != nil {
		return err
	}
	if len(applied) <= len(names) {
		if err := migrate.FromFS(ctx, session, migrations()); err != nil {
			return fmt.Errorf("cassandra: migrate: %w", err)
		}
	}
	if err := setWindows(ctx, session, cfg); err != nil {
		return err
	}
	if err := wantedLayout(cfg).saveFirst(ctx, session); err != nil {
		return err
	}
	return session.AwaitSchemaAgreement(ctx)
}

func ensureKeyspace(ctx context.Context, cfg config.Config) error {
	session, err := connect(ctx, cfg, "")
	if err != nil {
		return err
	}
	defer session.Close()
	there, err := keyspaceExists(ctx, session, cfg)
	if err != nil || there {
		return err
	}
	if err := execute(ctx, session, createKeyspace(cfg)); err != nil {
		return fmt.Errorf("cassandra: create keyspace: %w", err)
	}
	return session.AwaitSchemaAgreement(ctx)
}

func keyspaceExists(ctx context.Context, session gocqlx.Session, cfg config.Config) (bool, error) {
	return exists(ctx, session, "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?", keyspaceOf(cfg))
}

// upToDate says whether nothing is left to do. It changes nothing, so that a
// host may do without the right to.
func upToDate(ctx context.Context, session gocqlx.Session, cfg config.Config) (bool, error) {
	err := checkMigrated(ctx, session, cfg)
	if errors.Is(err, ErrNotMigrated) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	stale, err := staleWindows(ctx, session, cfg)
	return len(stale) == 0, err
}

// checkMigrated returns nil if all migrations of this version are applied, and
// perhaps later ones.
func checkMigrated(ctx context.Context, session gocqlx.Session, cfg config.Config) error {
	var applied []migrate.Info
	bound, cancel := bounded(ctx)
	defer cancel()
	// Not migrate.List, which makes its table: a reader may not.
	err := session.ContextQuery(bound, "SELECT name, done FROM gocqlx_migrate", nil).SelectRelease(&applied)
	// To look in system_schema first would not do: a table is listed there before
	// it can be read.
	var refused gocql.RequestError
	if errors.As(err, &refused) && refused.Code() == gocql.ErrCodeInvalid {
		return fmt.Errorf("cassandra: %w: %s", ErrNotMigrated, refused.Message())
	}
	if err != nil {
		return fmt.Errorf("cassandra: migrations: %w", err)
	}
	done := map[string]int{}
	for _, a := range applied {
		done[a.Name] = a.Done
	}
	names, err := fs.Glob(migrations(), "*.cql")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := fs.ReadFile(migrations(), name)
		if err != nil {
			return err
		}
		if done[path.Base(name)] < strings.Count(string(text), ";") {
			return fmt.Errorf("cassandra: %w: %s is not applied", ErrNotMigrated, name)
		}
	}
	_, err = loadLayouts(ctx, session)
	return err
}

// withLease runs work while it alone has the lease, which it renews. If that
// fails the work's context ends.
func withLease(ctx context.Context, session gocqlx.Session, work func(context.Context) error) error {
	owner, err := gocql.RandomUUID()
	if err != nil {
		return fmt.Errorf("cassandra: migration lease: %w", err)
	}
	if err := acquire(ctx, session, owner); err != nil {
		return fmt.Errorf("cassandra: migration lease: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		tick := time.NewTicker(leaseTTL / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := renew(ctx, session, owner); err != nil {
					cancel(fmt.Errorf("migration lease lost: %w", err))
					return
				}
			}
		}
	}()
	err = work(ctx)
	cancel(nil)
	<-renewed
	// What is left of the lease after a failure here ends by itself.
	bye, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	_, released := conditional(bye, session, "DELETE FROM migration_lease WHERE name = ? IF owner = ?", leaseName, owner)
	if err != nil {
		return err
	}
	if released != nil {
		return fmt.Errorf("cassandra: release migration lease: %w", released)
	}
	return nil
}

func acquire(ctx context.Context, session gocqlx.Session, owner gocql.UUID) error {
	tick := time.NewTicker(leaseRetry)
	defer tick.Stop()
	for {
		held := map[string]any{}
		bound, cancel := bounded(ctx)
		q := session.ContextQuery(bound, fmt.Sprintf("INSERT INTO migration_lease (name, owner) VALUES (?,?) IF NOT EXISTS USING TTL %d", int(leaseTTL.Seconds())), nil)
		ok, err := q.Idempotent(false).Bind(leaseName, owner).MapScanCAS(held)
		cancel()
		if err != nil {
			return err
		}
		// Not applied, and yet ours: an attempt that timed out has applied.
		if ok || held["owner"] == owner {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another host migrates: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

func renew(ctx context.Context, session gocqlx.Session, owner gocql.UUID) error {
	ok, err := conditional(ctx, session, fmt.Sprintf("UPDATE migration_lease USING TTL %d SET owner = ? WHERE name = ? IF owner = ?", int(leaseTTL.Seconds())),
		owner, leaseName, owner)
	if err == nil && !ok {
		err = errors.New("another host has it")
	}
	return err
}

func conditional(ctx context.Context, session gocqlx.Session, statement string, args ...any) (applied bool, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return session.ContextQuery(ctx, statement, nil).Idempotent(false).Bind(args...).MapScanCAS(map[string]any{})
}

func execute(ctx context.Context, session gocqlx.Session, statement string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return session.ContextQuery(ctx, statement, nil).ExecRelease()
}

func exists(ctx context.Context, session gocqlx.Session, statement string, args ...any) (bool, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var name string
	err := session.ContextQuery(ctx, statement, nil).Bind(args...).Scan(&name)
	if errors.Is(err, gocql.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cassandra: %w", err)
	}
	return true, nil
}
