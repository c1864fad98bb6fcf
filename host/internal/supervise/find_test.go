package supervise

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func put(t *testing.T, dir, name string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(dir, name)
	if strings.HasSuffix(name, "/") {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("content of "+name), mode); err != nil {
		t.Fatal(err)
	}
}

func directory(t *testing.T) string {
	dir := t.TempDir()
	put(t, dir, "bare", 0o700)
	put(t, dir, "folder/folder", 0o700)
	put(t, dir, "folder/data.txt", 0o600)
	put(t, dir, "source/main.go", 0o600)
	put(t, dir, "empty/", 0)
	put(t, dir, "locked", 0o600)
	put(t, dir, "README.md", 0o600)
	put(t, dir, ".tmp", 0o700)
	return dir
}

func TestFindAll(t *testing.T) {
	dir := directory(t)
	found, err := Find(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		text := f.Name
		if f.Err != nil {
			text += "!"
		}
		got = append(got, text)
	}
	if want := "bare empty! folder locked! source!"; strings.Join(got, " ") != want {
		t.Errorf("found %v, want %s", got, want)
	}
}

func TestFindNamed(t *testing.T) {
	dir := directory(t)
	tests := []struct{ name, path, dir, wantErr string }{
		{"bare", "bare", ".", ""},
		{"folder", "folder/folder", "folder", ""},
		{"source", "source/source", "source", `nothing to run: build the plugin into it, as .*/source/source \(go build -C `},
		{"empty", "empty/empty", "empty", "nothing to run"},
		{"locked", "locked", ".", `not executable: chmod \+x`},
		{"absent", "", "", "there is no plugin absent in .*: put an executable"},
		{".tmp", "", "", "cannot be a plugin's name"},
		{"../bare", "", "", "cannot be a plugin's name"},
		{"", "", "", "cannot be a plugin's name"},
	}
	for _, tt := range tests {
		found, err := Find(dir, []string{tt.name, tt.name})
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %d found, %v", tt.name, len(found), err)
		}
		f := found[0]
		if tt.path != "" && (f.Path != filepath.Join(dir, tt.path) || f.Dir != filepath.Join(dir, tt.dir)) {
			t.Errorf("%s: path %s, dir %s", tt.name, f.Path, f.Dir)
		}
		if tt.wantErr == "" {
			if f.Err != nil || !regexp.MustCompile(`^[0-9a-f]{12}$`).MatchString(f.Version) {
				t.Errorf("%s: version %q, %v", tt.name, f.Version, f.Err)
			}
		} else if f.Err == nil || !regexp.MustCompile(tt.wantErr).MatchString(f.Err.Error()) {
			t.Errorf("%s: %v, want %s", tt.name, f.Err, tt.wantErr)
		}
	}
	if _, err := Find(filepath.Join(dir, "nowhere"), nil); err == nil {
		t.Error("a directory that is not there")
	}
}

// TestVersionFromBuild: what Go wrote into a program wins over its digest.
func TestVersionFromBuild(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	v, err := versionOf(goTool)
	if err != nil || v == "" {
		t.Errorf("version %q, %v", v, err)
	}
	digest, err := versionOf("find_test.go")
	if err != nil || !regexp.MustCompile(`^[0-9a-f]{12}$`).MatchString(digest) {
		t.Errorf("digest %q, %v", digest, err)
	}
}
