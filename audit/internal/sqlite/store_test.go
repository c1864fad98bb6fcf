package sqlite

import (
	"path/filepath"
	"testing"

	"rrhost/audit/internal/storetest"
)

func TestSuite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store { return openTemp(t) })
}

func BenchmarkWrite(b *testing.B) {
	storetest.Benchmark(b, func(b *testing.B) storetest.Store { return openTemp(b) })
}

func openTemp(t testing.TB) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "data", "audit.db"), storetest.TTL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
