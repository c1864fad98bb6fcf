package config

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rrhost/internal/envelope"
)

// asMaker is the variable that makes this test binary a process that waits for
// the end of its input, makes the key in the folder that the variable names, and
// prints the key's id.
const asMaker = "RRHOST_TEST_MAKE_KEY"

func TestMain(m *testing.M) {
	dir := os.Getenv(asMaker)
	if dir == "" {
		os.Unsetenv(keyVariable) // the machine's own is not the tests'
		os.Exit(m.Run())
	}
	c := Config{Dir: dir}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	if err := c.MakeKey(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ring, err := c.Ring()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(ring.ActiveID())
}

func idOf(t *testing.T, hex string) envelope.KeyID {
	t.Helper()
	k, err := envelope.ParseKey(hex)
	if err != nil {
		t.Fatal(err)
	}
	return k.ID()
}

func TestRing(t *testing.T) {
	configured, fromEnv, inFolder, older := envelope.GenerateKey(), envelope.GenerateKey(), envelope.GenerateKey(), envelope.GenerateKey()
	real := Kafka{Brokers: []string{"b:9092"}}
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("data/key", inFolder+"\n", 0o600)
	write("old.key", older+"\n", 0o600)
	write("bad.key", "x"+older[1:], 0o600)
	write("open.key", older, 0o644)

	tests := []struct {
		name   string
		config Config
		env    string // ENCRYPTION_KEY
		want   string // the active key
		err    string // with dir as DIR
	}{
		{"configured", Config{Kafka: real, Encryption: Encryption{Key: Secret(configured)}}, fromEnv, configured, ""},
		{"configured, embedded", Config{Encryption: Encryption{Key: "file:old.key"}}, fromEnv, older, ""},
		{"from the environment", Config{Kafka: real}, fromEnv, fromEnv, ""},
		{"from the environment, embedded", Config{}, fromEnv, fromEnv, ""},
		{"from the data folder", Config{}, "", inFolder, ""},
		{"missing", Config{Kafka: real}, "", "",
			"no encryption key: encryption.key and ENCRYPTION_KEY are not set\nhint: rrhost keygen prints one; set it as ENCRYPTION_KEY here and on every host and requester"},
		{"missing, embedded", Config{Embedded: EmbeddedBroker{Dir: "none"}}, "", "",
			"no encryption key: DIR/none/key is missing\nhint: rrhost run makes it at its first start"},
		{"configured but missing", Config{Encryption: Encryption{Key: "env:RRHOST_TEST_NONE"}}, fromEnv, "",
			"encryption.key: environment variable RRHOST_TEST_NONE is not set"},
		{"configured file missing", Config{Encryption: Encryption{Key: "file:none"}}, "", "",
			"encryption.key: secret: stat DIR/none: no such file or directory (hint: make it, or name another)"},
		{"open to others", Config{Encryption: Encryption{Key: "file:open.key"}}, "", "",
			"encryption.key: secret: DIR/open.key is open to others (mode 0644); type: chmod 600 DIR/open.key"},
		{"not hex", Config{Encryption: Encryption{Key: "file:old.key", Open: []Secret{"file:bad.key"}}}, "", "",
			"encryption.open[1]: a key is 64 hex characters: there are others in it"},
		{"too short", Config{}, "abc", "", "ENCRYPTION_KEY: a key is 64 hex characters, not 3 characters"},
		{"twice", Config{Encryption: Encryption{Key: "file:old.key", Open: []Secret{Secret(older)}}}, "", "",
			"encryption: make a key ring: key " + idOf(t, older).String() + " comes twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(keyVariable, tt.env)
			tt.config.Dir = dir
			ring, err := tt.config.Ring()
			switch {
			case err != nil:
				if got := strings.ReplaceAll(err.Error(), dir, "DIR"); got != tt.err {
					t.Errorf("Ring: %s\nwant: %s", got, tt.err)
				}
				if errors.Is(err, ErrNoKey) != strings.HasPrefix(tt.err, "no encryption key") {
					t.Errorf("errors.Is(%v, ErrNoKey) = %v", err, errors.Is(err, ErrNoKey))
				}
				if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
					t.Error("Ring made the data folder")
				}
			case tt.err != "":
				t.Errorf("Ring gave no error, want %s", tt.err)
			case ring.ActiveID() != idOf(t, tt.want):
				t.Errorf("the active key is another one")
			}
		})
	}
}

// What an older key sealed opens with a ring that has it to open with.
func TestRingOpens(t *testing.T) {
	older := Secret(envelope.GenerateKey())
	before, err := Config{Encryption: Encryption{Key: older}}.Ring()
	if err != nil {
		t.Fatal(err)
	}
	after, err := Config{Encryption: Encryption{Key: Secret(envelope.GenerateKey()), Open: []Secret{older}}}.Ring()
	if err != nil {
		t.Fatal(err)
	}
	got, err := after.Open(nil, before.Seal(nil, []byte("hello"), nil), nil)
	if err != nil || string(got) != "hello" {
		t.Errorf("Open = %q, %v", got, err)
	}
}

func TestMakeKey(t *testing.T) {
	c := Config{Dir: t.TempDir(), Embedded: EmbeddedBroker{Dir: "a/data"}}
	if err := c.MakeKey(); err != nil {
		t.Fatal(err)
	}
	path := c.Path("a/data/key")
	made, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): os.ModeDir | 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want mode %v", path, info.Mode(), err, want)
		}
	}
	if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) != 1 {
		t.Errorf("the data folder holds %v, %v; want the key alone", names, err)
	}
	ring, err := c.Ring()
	if err != nil || ring.ActiveID() != idOf(t, strings.TrimSpace(string(made))) {
		t.Errorf("Ring after MakeKey: %v", err)
	}
	if err := c.MakeKey(); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, made) {
		t.Errorf("MakeKey again changed the key (%v)", err)
	}
}

// MakeKey makes no key that Ring would not read.
func TestMakeKeyNotNeeded(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		env    string
	}{
		{"real brokers", Config{Kafka: Kafka{Brokers: []string{"b:9092"}}}, ""},
		{"configured", Config{Encryption: Encryption{Key: "env:RRHOST_TEST_NONE"}}, ""},
		{"from the environment", Config{}, envelope.GenerateKey()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(keyVariable, tt.env)
			tt.config.Dir = t.TempDir()
			if err := tt.config.MakeKey(); err != nil {
				t.Fatal(err)
			}
			if names, err := os.ReadDir(tt.config.Dir); err != nil || len(names) != 0 {
				t.Errorf("MakeKey made %v (%v)", names, err)
			}
		})
	}
}

func TestMakeKeyFails(t *testing.T) {
	c := Config{Dir: t.TempDir()}
	if err := os.WriteFile(c.Path("data"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.MakeKey(); err == nil || !strings.HasPrefix(err.Error(), "make the encryption key: ") {
		t.Errorf("MakeKey where data is a file: %v", err)
	}
}

// Processes that make the key at the same time end up with one and the same.
func TestMakeKeyRace(t *testing.T) {
	for range 3 {
		makeKeyRace(t, t.TempDir())
	}
}

func makeKeyRace(t *testing.T, dir string) {
	gate, open, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	defer open.Close()
	var (
		makers  []*exec.Cmd
		outputs []*bufio.Reader
	)
	for range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), asMaker+"="+dir)
		cmd.Stdin, cmd.Stderr = gate, os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		makers, outputs = append(makers, cmd), append(outputs, bufio.NewReader(out))
	}
	for _, out := range outputs {
		if line, err := out.ReadString('\n'); line != "ready\n" {
			t.Errorf("a process says %q, %v", line, err)
		}
	}
	open.Close() // all start
	ids := map[string]bool{}
	for i, out := range outputs {
		id, _ := out.ReadString('\n')
		ids[id] = true
		if err := makers[i].Wait(); err != nil {
			t.Errorf("a process that makes the key: %v", err)
		}
	}
	if len(ids) != 1 {
		t.Errorf("%d keys, want one: %v", len(ids), ids)
	}
	if names, err := os.ReadDir(filepath.Join(dir, "data")); err != nil || len(names) != 1 {
		t.Errorf("the data folder holds %v, %v; want the key alone", names, err)
	}
}
