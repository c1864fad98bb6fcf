package host_test

import (
	"os"
	"path/filepath"
	"testing"

	"rrhost/config"
	"rrhost/host"
)

// TestFoundPluginPath: the same, whatever way the configuration was named.
func TestFoundPluginPath(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(dir, "plugins", "p")
	if err := os.Mkdir(filepath.Dir(want), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(want, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, of := range []string{dir, ".", ""} {
		found, err := host.FindPlugins(config.Config{Dir: of, Topics: []config.Topic{{Name: "p"}}})
		if err != nil || len(found) != 1 || found[0].Path != want {
			t.Errorf("from %q: %+v, %v, want %s", of, found, err, want)
		}
	}
}
