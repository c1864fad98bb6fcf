package plugindir

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func put(t *testing.T, dir, name string, mode os.FileMode, content ...string) {
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
	if err := os.WriteFile(path, []byte(strings.Join(append(content, "# content of "+name), "\n")), mode); err != nil {
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
	put(t, dir, "script/plugin.toml", 0o600, `command = ["sh", "main.sh", "-x"]`)
	put(t, dir, "other/plugin.toml", 0o600, `name = "another"`)
	put(t, dir, "typo/plugin.toml", 0o600, `comand = ["sh"]`)
	put(t, dir, "broken/plugin.toml", 0o600, "name = \n")
	put(t, dir, "escape/plugin.toml", 0o600, `command = ["../bare"]`)
	put(t, dir, "nopath/plugin.toml", 0o600, `command = ["no-such-interpreter"]`)
	put(t, dir, "absolute/plugin.toml", 0o600, `command = ["/bin/sh", "main.sh"]`)
	put(t, dir, "gone/plugin.toml", 0o600, `command = ["/no/such/interpreter", "main.sh"]`)
	tests := []struct{ name, root, command, wantErr string }{
		{"bare", "bare", "bare", ""},
		{"folder", "folder", "folder", ""},
		{"script", "script", "sh main.sh -x", ""},
		{"source", "source", "source", `nothing to run: build the plugin into it, as .*/source/source \(go build -C `},
		{"empty", "empty", "empty", "nothing to run"},
		{"locked", "locked", "", `not executable: chmod \+x`},
		{"absent", "", "", "there is no plugin absent in .*: put an executable"},
		{"other", "other", "", `names the plugin "another"`},
		{"typo", "typo", "", `"comand" is not a key of a manifest; known are name, version`},
		{"broken", "broken", "", `broken/plugin.toml:\d: `},
		{"escape", "escape", "../bare", "outside of the folder"},
		{"nopath", "nopath", "no-such-interpreter", "neither in the folder nor in PATH"},
		{"absolute", "absolute", "/bin/sh main.sh", ""},
		{"gone", "gone", "/no/such/interpreter main.sh", "nothing to run: /no/such/interpreter is no executable file"},
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
		if tt.root != "" && f.Root != filepath.Join(dir, tt.root) || strings.Join(f.Manifest.Command, " ") != tt.command {
			t.Errorf("%s: root %s, command %q", tt.name, f.Root, f.Manifest.Command)
		}
		if tt.wantErr == "" {
			if f.Err != nil {
				t.Errorf("%s: %v", tt.name, f.Err)
			}
		} else if f.Err == nil || !regexp.MustCompile(tt.wantErr).MatchString(f.Err.Error()) {
			t.Errorf("%s: %v, want %s", tt.name, f.Err, tt.wantErr)
		}
	}
	if _, err := Find(filepath.Join(dir, "nowhere"), nil); err == nil {
		t.Error("a directory that is not there")
	}
}
