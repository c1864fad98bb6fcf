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
	put(t, dir, "number/plugin.toml", 0o600, "version = \"1\"\ninstances = \"2\"")
	put(t, dir, "list/plugin.toml", 0o600, `command = "main.py"`)
	put(t, dir, "elements/plugin.toml", 0o600, `env = ["A", 1]`)
	put(t, dir, "bool/plugin.toml", 0o600, `tls = "no"`)
	put(t, dir, "texts/plugin.toml", 0o600, `version = 1`)
	put(t, dir, "two words/two words", 0o600)
	put(t, dir, "go words/main.go", 0o600)
	outside := t.TempDir()
	put(t, outside, "passwd", 0o600)
	put(t, dir, "releases/a-1", 0o600)
	put(t, dir, "inlink/", 0)
	for link, to := range map[string]string{
		"outlink": filepath.Join(outside, "passwd"), "null": os.DevNull, "current": filepath.Join("releases", "a-1"),
		"inlink/inlink": filepath.Join(outside, "passwd"),
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ name, root, command, wantErr string }{
		{"number", "number", "", `number/plugin.toml:2: instances wants a whole number without quotes, from 1 to 1024$`},
		{"list", "list", "", `list/plugin.toml:1: command wants a list of texts, as in `},
		{"elements", "elements", "", `elements/plugin.toml:1: env wants a list of texts, as in `},
		{"bool", "bool", "", `bool/plugin.toml:1: tls wants true or false, without quotes$`},
		{"texts", "texts", "", `texts/plugin.toml:1: version wants text in quotes$`},
		{"two words", "two words", "two words", `two words/two words is not executable: chmod \+x '/.*/two words/two words'$`},
		{"go words", "go words", "go words", `go build -C '/.*/go words' -o '/.*/go words/go words' \.\)$`},
		{"outlink", "", "", `/outlink is a link to /.*/passwd, which is not executable: put an executable in its place$`},
		{"null", "", "", `/null is a link to /dev/null, which is no regular file$`},
		{"current", "releases/a-1", "", `/current is a link to /.*/releases/a-1, which is not executable: chmod \+x /.*/current$`},
		{"inlink", "inlink", "inlink", `/inlink is a link to /.*/passwd, which is not executable: put an executable in its place$`},
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
