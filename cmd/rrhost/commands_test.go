package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// configured writes a configuration with a plugin, and returns its file.
func configured(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	plugin := filepath.Join(dir, "plugins", "price")
	if err := os.Mkdir(filepath.Dir(plugin), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plugin, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte("[[topic]]\nname = \"cost\"\nplugin = \"price\"\n[[topic]]\nname = \"tax\"\nplugin = \"price\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// Half a list that ends with 0 would be taken for the whole.
func TestOutputThatCannotBeWrittenIsAnError(t *testing.T) {
	file := configured(t)
	for _, command := range []string{"topics --print", "audit migrate --print", "plugin list", "plugin inspect price"} {
		var stderr bytes.Buffer
		args := append(strings.Fields(command), "--config", file)
		if code := run(context.Background(), args, nil, fullDisk{}, &stderr); code != 1 || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("rrhost %s: code %d, %q", command, code, &stderr)
		}
	}
}

// The shell completes the names of plugins, each once.
func TestPluginNamesAreCompleted(t *testing.T) {
	file := configured(t)
	for _, command := range []string{"inspect", "reload", "restart", "rollback", "trust"} {
		var out bytes.Buffer
		args := []string{"__complete", "--config", file, "plugin", command, ""}
		if code := run(context.Background(), args, nil, &out, new(bytes.Buffer)); code != 0 || !slices.Equal(strings.Fields(out.String()), []string{"price", ":4"}) {
			t.Errorf("rrhost plugin %s: code %d, %q", command, code, &out)
		}
	}
	var out bytes.Buffer
	run(context.Background(), []string{"__complete", "plugin", "init", "x", "--lang", ""}, nil, &out, new(bytes.Buffer))
	if got := strings.Fields(out.String()); !slices.Contains(got, "go") || !slices.Contains(got, "python") {
		t.Errorf("rrhost plugin init --lang: %q", got)
	}
}
