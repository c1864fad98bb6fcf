package scaffold

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	if err := os.Mkdir(there, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := New(there, golang); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a folder that is there: %v", err)
	}
	if _, err := New(filepath.Join(dir, "no", "parent"), golang); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a parent that is not there: %v", err)
	}
	for _, name := range []string{".hidden", "Upper", "9lives", "with space", "dot.ted", "ünicode", sdkFolder, "vendor",
		"a123456789012345678901234567890123456789012345678901234567890123456789"} {
		if _, err := New(filepath.Join(dir, name), golang); err == nil {
			t.Errorf("%q was made", name)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("something is left: %v, %v", entries, err)
	}
}

func TestLanguageNamed(t *testing.T) {
	for _, l := range Languages {
		if got, err := LanguageNamed(l.Name); err != nil || got.Title != l.Title {
			t.Errorf("%s: %v, %v", l.Name, got.Title, err)
		}
	}
	if _, err := LanguageNamed("cobol"); err == nil {
		t.Error("there is cobol")
	}
}

// TestUpdate: the SDK becomes this program's, and nothing else is touched.
func TestUpdate(t *testing.T) {
	dir := t.TempDir()
	for _, l := range Languages {
		folder := filepath.Join(dir, "p-"+l.Name)
		p, err := New(folder, l)
		if err != nil {
			t.Fatal(err)
		}
		want, err := p.files()
		if err != nil {
			t.Fatal(err)
		}
		for name := range want {
			if err := os.WriteFile(filepath.Join(folder, name), []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		gone := filepath.Join(folder, sdkFolder, "gone")
		if err := os.WriteFile(gone, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := Update(folder); err != nil || got.Name != l.Name {
			t.Errorf("%s: %s, %v", l.Name, got.Name, err)
		}
		for name, text := range want {
			if !strings.HasPrefix(name, sdkFolder+"/") {
				text = []byte("old")
			}
			if got, err := os.ReadFile(filepath.Join(folder, name)); err != nil || string(got) != string(text) {
				t.Errorf("%s: %s is not as it must be (%v)", l.Name, name, err)
			}
		}
		if _, err := os.Stat(gone); err == nil {
			t.Errorf("%s: a file of the old SDK is left", l.Name)
		}
		if left, err := filepath.Glob(filepath.Join(folder, "."+sdkFolder+"*")); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v, %v", l.Name, left, err)
		}
	}
	if _, err := Update(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder without an SDK: %v", err)
	}
}
