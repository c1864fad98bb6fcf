package testprograms

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// TestBuild: who builds the same program at once, or again, gets one of its own that
// runs.
func TestBuild(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for range 3 {
		dir := filepath.Join(t.TempDir(), "new")
		wg.Go(func() {
			if err := Build(dir, "rrhost/plugins/calculate"); err != nil {
				t.Error(err)
				return
			}
			// Started by hand, a plugin says what it is, and exits with 1.
			err := exec.Command(filepath.Join(dir, "calculate")).Run()
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("it does not run: %v", err)
			}
		})
	}
	wg.Wait()
}

// TestMistake: what does not build is said, and nothing is left in its place.
func TestMistake(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := Build(dir, "rrhost/internal/nowhere"); err == nil {
		t.Error("a package that there is not is built")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
