package cassandra

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/scylladb/gocqlx/v2"

	"rrhost/config"
)

// defaultWindow of compaction, in hours, as the schema has it: right for 30 days.
const defaultWindow = 24

// windowHours is the compaction window for a retention: about 30 of them cover
// it, so that expired rows leave as whole files, a thirtieth too late at most.
func windowHours(ttl time.Duration) int {
	if ttl <= 0 {
		return defaultWindow
	}
	return max(1, int((ttl+30*time.Hour-1)/(30*time.Hour)))
}

func alterWindow(table string, hours int) string {
	return fmt.Sprintf("ALTER TABLE %s WITH compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'HOURS', 'compaction_window_size': '%d'}", table, hours)
}

// staleWindows are the tables whose window is not the one for the retention.
// A window that an operator gave in another unit is left to him.
func staleWindows(ctx context.Context, session gocqlx.Session, cfg config.Config) ([]string, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var stale []string
	for _, table := range []string{"by_id", "by_time"} {
		compaction := map[string]string{}
		err := session.ContextQuery(ctx, "SELECT compaction FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?", nil).
			Bind(keyspaceOf(cfg), table).Scan(&compaction)
		if err != nil {
			return nil, fmt.Errorf("cassandra: compaction of %s: %w", table, err)
		}
		size, err := strconv.Atoi(compaction["compaction_window_size"])
		if err == nil && compaction["compaction_window_unit"] == "HOURS" && size != windowHours(cfg.Audit.TTL) {
			stale = append(stale, table)
		}
	}
	return stale, nil
}

func setWindows(ctx context.Context, session gocqlx.Session, cfg config.Config) error {
	stale, err := staleWindows(ctx, session, cfg)
	if err != nil {
		return err
	}
	for _, table := range stale {
		if err := execute(ctx, session, alterWindow(table, windowHours(cfg.Audit.TTL))); err != nil {
			return fmt.Errorf("cassandra: compaction of %s: %w", table, err)
		}
	}
	return nil
}
