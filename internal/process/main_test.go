package process

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
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
	for _, build := range []struct {
		pkg string
		to  *string
	}{{"rrhost/internal/testplugin", &testPlugin}, {"rrhost/plugins/echo", &echoPlugin}, {"rrhost/internal/testplugin/raw", &rawPlugin}} {
		if *build.to, err = buildPlugin(dir, build.pkg); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}
