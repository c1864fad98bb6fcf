package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What a killed host has left is removed by the next one, and nothing else is.
func TestSocketsOfTheDead(t *testing.T) {
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	gone := dead.Process.Pid
	parent := t.TempDir()
	folder := func(name string) string {
		path := filepath.Join(parent, name)
		if err := os.MkdirAll(filepath.Join(path, "plugin-dir7"), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	left := folder(fmt.Sprintf("rr%d-123", gone))
	kept := []string{
		folder(fmt.Sprintf("rr%d-123", os.Getpid())), // alive
		folder(fmt.Sprintf("rr%d", gone)),            // other names
		folder(fmt.Sprintf("rr%d-12x", gone)),
		folder(fmt.Sprintf("xrr%d-12", gone)),
	}
	locked := folder(fmt.Sprintf("rr%d-456", gone)) // by one that cannot be seen, as from another container
	f, err := openFolder(locked)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := lock(f); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(parent, fmt.Sprintf("rr%d-789", gone))
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.MkdirAll(elsewhere, 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(parent, fmt.Sprintf("rr%d-999", gone))
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}

	sweep(parent)
	if _, err := os.Lstat(left); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", left, err)
	}
	for _, path := range append(kept, locked, file, link, elsewhere) {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s: %v, want it left alone", path, err)
		}
	}
}

// The folder of a host that runs is locked, named after it, and gone in the end.
func TestSockets(t *testing.T) {
	s, err := newSockets(nil)
	if err != nil {
		t.Fatal(err)
	}
	if name := socketsName.FindStringSubmatch(filepath.Base(s.dir)); name == nil || name[1] != fmt.Sprint(os.Getpid()) {
		t.Errorf("it is named %s", s.dir)
	}
	f, err := openFolder(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if lock(f) == nil {
		t.Error("another can lock it")
	}
	s.remove()
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("it is left: %v", err)
	}
}
