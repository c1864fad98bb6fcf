package process

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"rrhost/internal/testprograms"
)

// The plugins under test, built once.
var testPlugin, echoPlugin, rawPlugin string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rrtest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := testprograms.Build(dir, "rrhost/internal/testplugin", "rrhost/internal/testplugin/raw", "rrhost/plugins/echo"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	testPlugin, rawPlugin, echoPlugin = filepath.Join(dir, "testplugin"), filepath.Join(dir, "raw"), filepath.Join(dir, "echo")
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}
