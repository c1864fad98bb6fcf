package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"rrhost/internal/testprograms"
	"rrhost/internal/testservices"
)

// The README's commands as they stand there, in a folder like the repository's
// whose config.toml differs in its addresses alone.
func TestCommandsOfTheReadme(t *testing.T) {
	testservices.Long(t)
	root, err := testprograms.Repository()
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := os.ReadFile(filepath.Join(root, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, embedded, layout{plugins: map[string]string{"calculate": "calculate", "echo": "echo"}})
	text := string(shipped)
	for _, move := range [][2]string{
		{`#listen = "127.0.0.1:19092"`, `listen = "` + s.cfg.Embedded.Listen + `"`},
		{`#listen = "127.0.0.1:9464"`, `listen = "` + s.cfg.Admin.Listen + `"`},
	} {
		if strings.Count(text, move[0]) != 1 {
			t.Fatalf("config.toml has no single line %s", move[0])
		}
		text = strings.Replace(text, move[0], move[1], 1)
	}
	s.write("config.toml", text)
	if err := os.Mkdir(filepath.Join(s.dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rrhost", "rrclient"} {
		if err := os.Symlink(program(t, name), filepath.Join(s.dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}

	if err := os.Remove(filepath.Join(s.dir, "key")); err != nil { // the README makes one
		t.Fatal(err)
	}

	want := map[string]*regexp.Regexp{ // of what is printed
		`bin/rrclient request calculate '{"a":10,"b":5}'`:             regexp.MustCompile(`^\{"result":15\}\n$`),
		`bin/rrclient logs --since 1h`:                                regexp.MustCompile(`(?m)request .*calculate`),
		`bin/rrhost plugin call plugins/greet greet '{"name":"Ada"}'`: regexp.MustCompile(`Ada`),
		`bin/rrhost plugin test plugins/greet`:                        regexp.MustCompile(`, 0 failed`),
		`bin/rrhost topics --print`:                                   regexp.MustCompile(`kafka-topics\.sh .*--create .*calculate`),
		`bin/rrhost audit migrate --print`:                            regexp.MustCompile(`CREATE TABLE`),
		`bin/rrhost check`:                                            regexp.MustCompile(`(?m)^ok`),
	}
	// The shipped file's trail is SQLite: its tables come by themselves.
	ran := 0
	for _, line := range strings.Split(block(t, string(readme), "sh", "bin/rrhost plugin init")+block(t, string(readme), "sh", "bin/rrhost run")+block(t, string(readme), "sh", "bin/rrhost keygen"), "\n") {
		command, _, _ := strings.Cut(line, "  #")
		command = strings.TrimSpace(command)
		switch {
		case command == "" || strings.HasPrefix(command, "make "):
			continue // the Makefile's own, which CI runs
		case command == "bin/rrhost run &":
			s.start()
			ran++
			continue
		}
		if command == `bin/rrclient logs --since 1h` {
			until(t, 30*time.Second, func() string { // the trail follows within a second
				if got := s.rrclient("logs", "--since", "1h"); got.stdout != "" {
					return ""
				}
				return "the trail is empty"
			})
		}
		got := s.command("/bin/sh", "-c", "cd "+s.dir+" && "+command)
		if got.code != 0 {
			t.Errorf("%s: %+v", command, got)
		}
		if pattern := want[command]; pattern != nil {
			if !pattern.MatchString(got.stdout) {
				t.Errorf("%s prints %q, want %s", command, got.stdout, pattern)
			}
			delete(want, command)
		}
		ran++
	}
	for command := range want {
		t.Errorf("the README has no command %s", command)
	}
	if ran < 8 {
		t.Errorf("%d commands ran: the README has more", ran)
	}
	if info, err := os.Stat(filepath.Join(s.dir, "key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v; want it for its owner alone", info, err)
	}
}
