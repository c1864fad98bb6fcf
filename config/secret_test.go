package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const canary = "hunter2canary"

func TestSecretShowsNothing(t *testing.T) {
	type account struct {
		Name     string
		Password Secret
		More     []Secret
	}
	for name, v := range map[string]any{
		"itself": Secret(canary), "pointer": func() *Secret { s := Secret(canary); return &s }(),
		"field": account{"a", canary, []Secret{canary}}, "map": map[string]Secret{"a": canary},
		"config": Config{Encryption: Encryption{Key: canary, Open: []Secret{canary}}, Audit: Audit{Cassandra: Cassandra{Password: canary}}},
	} {
		t.Run(name, func(t *testing.T) {
			var logs bytes.Buffer
			slog.New(slog.NewTextHandler(&logs, nil)).Info("a", "secret", v)
			slog.New(slog.NewJSONHandler(&logs, nil)).Info("a", "secret", v)
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			shown := []string{logs.String(), string(text)}
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%t", "%8.3s", "%U"} {
				shown = append(shown, fmt.Sprintf(verb, v))
			}
			hex := fmt.Sprintf("%x", canary)
			for _, s := range shown {
				if strings.Contains(s, canary) || strings.Contains(strings.ToLower(s), hex) || strings.Contains(s, "104 117 110") {
					t.Errorf("shown: %s", s)
				}
			}
		})
	}
	if text, err := Secret(canary).MarshalText(); err != nil || string(text) != "***" {
		t.Errorf("MarshalText = %s, %v", text, err)
	}
	if s := Secret(canary); fmt.Sprint(s) != "***" || s.String() != "***" || s.GoString() != "***" {
		t.Errorf("printed as %s", s)
	}
}

func TestSecretResolve(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	absolute := file("plain", canary, 0o600)
	file("newline", canary+"\n", 0o400)
	file("windows", canary+"\r\n", 0o600)
	file("spaces", " "+canary+" \n\n", 0o600)
	file("group", canary, 0o640)
	file("it's open", canary, 0o604)
	file("written", canary, 0o602)
	file("empty", "\n", 0o600)
	file("large", strings.Repeat("a", maxSecret+1), 0o600)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RRHOST_TEST_SECRET", canary)
	t.Setenv("RRHOST_TEST_EMPTY", "")
	key := strings.Repeat("ab", 32)

	tests := []struct {
		ref  Secret
		want string
		err  string // with dir as DIR
	}{
		{"", "", ""},
		{canary, canary, ""},
		{"environment", "environment", ""},
		{"x:" + Secret(key), "x:" + key, ""},
		{"env:RRHOST_TEST_SECRET", canary, ""},
		{"env:RRHOST_TEST_EMPTY", "", "environment variable RRHOST_TEST_EMPTY is not set"},
		{"env:RRHOST_TEST_NONE", "", "environment variable RRHOST_TEST_NONE is not set"},
		{"env:" + Secret(key), "", `is a key, not a reference to one; write "env:NAME" or "file:PATH"`},
		{"env:", "", `what follows env: is not the name of an environment variable; write it as in "env:KAFKA_PASSWORD"`},
		{Secret("file:" + absolute), canary, ""},
		{"file:plain", canary, ""},
		{"file:newline", canary, ""},
		{"file:windows", canary, ""},
		{"file:spaces", " " + canary + " \n", ""},
		{"file:" + Secret(key), "", `is a key, not a reference to one; write "env:NAME" or "file:PATH"`},
		{"file:none", "", "secret: stat DIR/none: no such file or directory (hint: make it, or name another)"},
		{"file:group", "", "secret: DIR/group is open to others (mode 0640); type: chmod 600 DIR/group"},
		{"file:it's open", "", `secret: DIR/it's open is open to others (mode 0604); type: chmod 600 'DIR/it'\''s open'`},
		{"file:written", "", "secret: DIR/written is open to others (mode 0602); type: chmod 600 DIR/written"},
		{"file:empty", "", "secret: DIR/empty is empty"},
		{"file:large", "", "secret: DIR/large is larger than 65536 bytes"},
		{"file:.", "", "secret: DIR is not a regular file"},
		{"file:pipe", "", "secret: DIR/pipe is not a regular file"},
	}
	for _, tt := range tests {
		got, err := tt.ref.Resolve(dir)
		if err == nil && tt.err != "" || err != nil && strings.ReplaceAll(err.Error(), dir, "DIR") != tt.err || got != tt.want {
			t.Errorf("Resolve(%s) = %q, %v; want %q, %s", string(tt.ref), got, err, tt.want, tt.err)
		}
	}
}

// Whatever is wrong with a file, its secrets are not in the error: each byte is
// left out once, and each sort of byte put in before it.
func TestErrorsShowNoSecret(t *testing.T) {
	text := `[kafka]
brokers = ["b1:9092"]
[kafka.sasl]
mechanism = "PLAIN"
username = "u"
password = "` + canary + `"
[encryption]
key = "` + canary + `"
open = ["file:` + canary + `", '` + canary + `',
 """` + canary + `"""]
[audit.cassandra]
username = "u"
password = '''` + canary + `'''
`
	for i := range text {
		for _, put := range []string{"", `"`, "'", "\n", "=", "#", "[", "]", "{", ",", ".", `\`, "\x00", "\xff", "7", "t", " "} {
			broken := text[:i] + put + text[i:]
			if put == "" {
				broken = text[:i] + text[i+1:]
			}
			if _, err := Parse("config.toml", []byte(broken)); err != nil && strings.Contains(err.Error(), canary[:6]) {
				t.Fatalf("%v\nof %s", err, broken)
			}
		}
	}
}
