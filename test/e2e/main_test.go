// Package e2e tests rrhost as its users run it: the built programs, a real Kafka
// with a real Cassandra, and the embedded broker. What was sent, answered and
// stored is compared one by one, and the log is read from outside, by another
// Kafka library.
package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gocql/gocql"

	"rrhost/internal/testprograms"
)

// binaries is where the programs of this run are built.
var binaries string

func TestMain(m *testing.M) {
	var err error
	if binaries, err = os.MkdirTemp("", "rrhost-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if address := os.Getenv("RRHOST_TEST_CASSANDRA"); address != "" {
		dropKeyspace(address) // one of our own ends with us
	}
	if err := os.RemoveAll(binaries); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// dropKeyspace leaves a Cassandra that others use as it was, if it can.
func dropKeyspace(address string) {
	cluster := gocql.NewCluster(address)
	cluster.Timeout, cluster.ConnectTimeout = 30*time.Second, 10*time.Second
	cluster.NumConns = 1
	session, err := cluster.CreateSession()
	if err == nil {
		defer session.Close()
		err = session.Query("DROP KEYSPACE IF EXISTS " + keyspace).Exec()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "the keyspace %s stays: %v\n", keyspace, err)
	}
}

// build builds all programs once.
var build = sync.OnceValue(func() error {
	return testprograms.Build(binaries, "./cmd/rrhost", "./cmd/rrclient", "./plugins/calculate", "./plugins/echo", "./internal/testplugin")
})

// buildRace builds the host with the race detector, for tests under it in which
// much happens at once; elsewhere it would only be slow.
var buildRace = sync.OnceValue(func() error {
	if !raceEnabled {
		return testprograms.Build(filepath.Join(binaries, "race"), "./cmd/rrhost")
	}
	return testprograms.BuildRace(filepath.Join(binaries, "race"), "./cmd/rrhost")
})

// program returns the path of a built program.
func program(t *testing.T, name string) string {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(binaries, name)
}

// hostUnderRace returns the path of the host with the race detector.
func hostUnderRace(t *testing.T) string {
	t.Helper()
	if err := buildRace(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(binaries, "race", "rrhost")
}
