package cassandra

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gocql/gocql"
	"github.com/scylladb/gocqlx/v2"

	"rrhost/config"
)

// A Store is a session with Cassandra. Write is for one caller at a time, all
// else for any number.
type Store struct {
	session gocqlx.Session
	group   string // whose positions: the ingester's consumer group
	ttl     time.Duration
	layouts layouts
	wanted  layout
	now     func() time.Time

	mu   sync.Mutex
	safe map[claim]*safePoints
}

type claim struct {
	topic     string
	partition int32
}

// Open connects to a keyspace that is migrated; else the error is
// [ErrNotMigrated]. It changes nothing.
func Open(ctx context.Context, cfg config.Config, group string) (*Store, error) {
	session, err := connectMigrated(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{
		session: session, group: group, ttl: cfg.Audit.TTL, wanted: wantedLayout(cfg),
		now: time.Now, safe: map[claim]*safePoints{},
	}
	if err := checkMigrated(ctx, session, cfg); err != nil {
		s.Close()
		return nil, err
	}
	if s.layouts, err = loadLayouts(ctx, session); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// connectMigrated is connect, and says so if the keyspace is missing: the driver
// tells that as if no node could be reached.
func connectMigrated(ctx context.Context, cfg config.Config) (gocqlx.Session, error) {
	session, err := connect(ctx, cfg, keyspaceOf(cfg))
	if !errors.Is(err, gocql.ErrNoConnectionsStarted) {
		return session, err
	}
	outside, e := connect(ctx, cfg, "")
	if e != nil {
		return gocqlx.Session{}, err
	}
	defer outside.Close()
	if there, e := keyspaceExists(ctx, outside, cfg); e != nil || there {
		return gocqlx.Session{}, err
	}
	return gocqlx.Session{}, fmt.Errorf("cassandra: %w: there is no keyspace %s", ErrNotMigrated, keyspaceOf(cfg))
}

// Warning is what the configuration asks for and doesn't get, or empty.
func (s *Store) Warning() string {
	if l := s.layouts[len(s.layouts)-1]; l.bucket != s.wanted.bucket || l.shards != s.wanted.shards {
		return fmt.Sprintf("audit.cassandra: bucket %s and shards %d are fixed since the tables were made, and stay; configured are %s and %d",
			l.bucket, l.shards, s.wanted.bucket, s.wanted.shards)
	}
	return ""
}

// Close ends the session. It may be called twice.
func (s *Store) Close() error {
	s.session.Close()
	return nil
}
