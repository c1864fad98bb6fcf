// Package e2e tests rrhost as its users run it: the built programs, a real Kafka
// with a real Cassandra, and the embedded broker. What was sent, answered and
// stored is compared one by one, and the log is read from outside, by another
// Kafka library.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gocql/gocql"
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
	return goBuild("./cmd/rrhost", "./cmd/rrclient", "./plugins/calculate", "./plugins/echo", "./internal/testplugin")
})

// buildRace builds the host with the race detector, for tests under it in which
// much happens at once; elsewhere it would only be slow.
var buildRace = sync.OnceValue(func() error {
	if !raceEnabled {
		return goBuildTo("rrhost-race", "./cmd/rrhost")
	}
	return goBuildTo("rrhost-race", "-race", "./cmd/rrhost")
})

// program returns the path of a built program.
func program(t *testing.T, name string) string {
	t.Helper()
	do := build
	if name == "rrhost-race" {
		do = buildRace
	}
	if err := do(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(binaries, name)
}

func goBuild(packages ...string) error { return goBuildTo("", packages...) }

func goBuildTo(name string, args ...string) error {
	root, err := repository()
	if err != nil {
		return err
	}
	cmd := exec.Command("go", append([]string{"build", "-o", binaries + string(filepath.Separator) + name}, args...)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %v: %w\n%s", args, err, out)
	}
	return nil
}

// repository is the folder of go.mod.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod in any folder above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}
