package audit

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"rrhost/audit/internal/cassandra"
	"rrhost/audit/internal/sqlite"
	"rrhost/audit/internal/trail"
	"rrhost/config"
)

// What [audit] store may be.
const (
	storeEmbedded  = "embedded"
	storeCassandra = "cassandra"
	storeNone      = "none"
)

var (
	// ErrNoStore is returned where the configuration keeps no trail.
	ErrNoStore = errors.New("no audit store is configured\nhint: set store = \"embedded\" or \"cassandra\" in [audit], for the host too")
	// ErrNoTrail is returned where a store is configured and nothing has been
	// written to it yet.
	ErrNoTrail = errors.New("there is no audit trail yet")
)

// A reader's store.
type store interface {
	ByRequestID(ctx context.Context, id string) ([]trail.Row, error)
	ByTime(ctx context.Context, q trail.Query) (trail.Page, error)
	Outcomes(ctx context.Context, ids []string) (map[string]bool, error)
	Positions(ctx context.Context) ([]trail.Position, error)
	Close() error
}

// Open opens the trail for reading; it changes nothing. Close the reader when
// done. Where no store is configured the error is [ErrNoStore], and where the
// trail has not begun, [ErrNoTrail].
func Open(ctx context.Context, cfg config.Config) (*Reader, error) {
	cfg = cfg.WithDefaults()
	s, err := openReader(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Reader{store: s, topics: newDecoder(cfg, nil).topics(), now: time.Now, poll: pollEvery}, nil
}

func openReader(ctx context.Context, cfg config.Config) (store, error) {
	switch cfg.Audit.Store {
	case storeEmbedded:
		s, err := sqlite.OpenReader(ctx, file(cfg))
		if errors.Is(err, sqlite.ErrMissing) {
			return nil, fmt.Errorf("%w at %s\nhint: start the host (rrhost run), which writes it", ErrNoTrail, file(cfg))
		}
		if err != nil {
			return nil, err
		}
		return s, nil
	case storeCassandra:
		s, err := cassandra.Open(ctx, cfg, group(cfg))
		if errors.Is(err, cassandra.ErrNotMigrated) {
			return nil, fmt.Errorf("%w in keyspace %s: its tables are missing or of an older version\nhint: rrhost audit migrate", ErrNoTrail, cfg.Audit.Cassandra.Keyspace)
		}
		if err != nil {
			return nil, err
		}
		return s, nil
	default:
		return nil, ErrNoStore
	}
}

func openWriter(ctx context.Context, cfg config.Config, logger hclog.Logger) (writer, error) {
	if cfg.Audit.Store == storeEmbedded {
		s, err := sqlite.Open(ctx, file(cfg), cfg.Audit.TTL)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	if may := cfg.Audit.Cassandra.Migrate; may == nil || *may {
		if err := cassandra.Migrate(ctx, cfg); err != nil {
			return nil, err
		}
	}
	s, err := cassandra.Open(ctx, cfg, group(cfg))
	if errors.Is(err, cassandra.ErrNotMigrated) {
		return nil, fmt.Errorf("%w\nhint: rrhost audit migrate", err)
	}
	if err != nil {
		return nil, err
	}
	if w := s.Warning(); w != "" {
		logger.Warn(w)
	}
	return s, nil
}

// Migrate makes or upgrades the store's tables. Any number of hosts may run it
// at once. An embedded store is also upgraded by the host that opens it.
func Migrate(ctx context.Context, cfg config.Config) error {
	cfg = cfg.WithDefaults()
	switch cfg.Audit.Store {
	case storeEmbedded:
		s, err := sqlite.Open(ctx, file(cfg), cfg.Audit.TTL)
		if err != nil {
			return err
		}
		return s.Close()
	case storeCassandra:
		return cassandra.Migrate(ctx, cfg)
	default:
		return ErrNoStore
	}
}

// MigrationStatements are what [Migrate] executes on an empty store, each
// without a semicolon, for whoever alone may change a schema. It is empty where
// there is no store.
func MigrationStatements(cfg config.Config) []string {
	cfg = cfg.WithDefaults()
	switch cfg.Audit.Store {
	case storeEmbedded:
		return sqlite.Statements()
	case storeCassandra:
		return cassandra.Statements(cfg)
	default:
		return nil
	}
}

// group is the ingester's consumer group.
func group(cfg config.Config) string { return cfg.Kafka.Group + ".audit" }

func file(cfg config.Config) string { return filepath.Join(cfg.Path(cfg.Embedded.Dir), "audit.db") }
