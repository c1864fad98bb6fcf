package rules

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A plugin in plugins/ that is a module of its own, as `rrhost plugin init` makes
// them, is not this module's to build.
func TestMakeLeavesOtherModulesAlone(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("there is no make")
	}
	makefile, err := filepath.Abs("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, file := range []string{"ours/main.go", "theirs/main.go", "theirs/go.mod"} {
		path := filepath.Join(dir, "plugins", file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, target := range []string{"plugins", "demo", "clean"} {
		out, err := exec.Command("make", "-n", "-C", dir, "-f", makefile, target).CombinedOutput()
		if err != nil {
			t.Fatalf("make %s: %v\n%s", target, err, out)
		}
		if text := string(out); !strings.Contains(text, "plugins/ours") || strings.Contains(text, "plugins/theirs") {
			t.Errorf("make %s:\n%s", target, text)
		}
	}
}
