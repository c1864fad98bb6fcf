package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"rrhost/internal/testprograms"
)

// The Go SDK's conformance plugin, and one that is none, built once.
var goPlugin, echoPlugin string

// TestMain lets the test binary be a plugin too: one with the fault that its
// argument names.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "plugin" {
		os.Exit(serveFaulty(os.Args[2]))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rrtest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	goPlugin = filepath.Join(dir, "conformance")
	echoPlugin = filepath.Join(dir, "echo")
	if err := testprograms.Build(dir, "rrhost/plugin/conformance", "rrhost/plugins/echo"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}
