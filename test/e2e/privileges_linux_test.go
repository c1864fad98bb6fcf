package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rrhost/client"
	"rrhost/internal/testprograms"
)

// What the plugin internal/testplugin/hostile is asked, and answers.
type (
	target struct {
		Host    int    `json:"host"`
		Sibling int    `json:"sibling"`
		Folder  string `json:"folder"`
		Store   string `json:"store"`
		Broker  string `json:"broker"`
		Topic   string `json:"topic"`
	}
	findings struct {
		Attempts    map[string]string `json:"attempts"`
		Descriptors []string          `json:"descriptors"`
	}
)

// A plugin that attacks whatever is within its reach gets exactly what
// docs/plugins-security.md says: with a user of its own nothing, with the host's a
// list of things.
func TestHostilePlugin(t *testing.T) {
	if err := testprograms.Build(binaries, "./internal/testplugin/hostile"); err != nil {
		t.Fatal(err)
	}
	documented := documentedReach(t)
	t.Run("the host's user", func(t *testing.T) {
		s := newSite(t, embedded, hostileLayout(nil))
		host := program(t, "rrhost")
		if os.Geteuid() == 0 { // root can reach everything, so the host is somebody else
			host = s.giveTo(lookup(t, "nobody"))
		}
		s.attack(s.awaitReady(s.launch(host)), s.cfg.WithDefaults().Plugins.Store).against(t, documented, 0)
	})
	t.Run("a user of its own", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root can start plugins as other users")
		}
		lookup(t, "nobody")
		lookup(t, "daemon")
		store, err := os.MkdirTemp("", "rrstore-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(store) })
		if err := os.Chmod(store, 0o711); err != nil {
			t.Fatal(err)
		}
		s := newSite(t, embedded, hostileLayout(map[string]string{
			"plugins":           fmt.Sprintf("store = %q\n", store),
			"plugin.hostile":    "user = \"nobody\"\n",
			"plugin.testplugin": "user = \"daemon\"\n",
		}))
		s.attack(s.start(), store).against(t, documented, 1)
	})
}

func hostileLayout(more map[string]string) layout {
	return layout{
		topics: "[[topic]]\nname = \"attack-@\"\nplugin = \"hostile\"\n" +
			"[[topic]]\nname = \"work-@\"\nplugin = \"testplugin\"\nhandler = \"work\"\n",
		plugins: map[string]string{"hostile": "hostile", "testplugin": "testplugin"},
		more:    more,
	}
}

func lookup(t *testing.T, name string) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Skip(err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// giveTo makes the site another user's, who runs its hosts from then on, and
// returns a host's program that this user can run.
func (s *site) giveTo(owner *syscall.Credential) (host string) {
	s.t.Helper()
	host = filepath.Join(s.dir, "rrhost")
	err := copyFile(host, program(s.t, "rrhost"))
	if err == nil {
		err = os.Chmod(filepath.Dir(s.dir), 0o711)
	}
	if err == nil {
		err = filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, int(owner.Uid), int(owner.Gid))
		})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.as = owner
	return host
}

// attack lets the hostile plugin do what it can.
func (s *site) attack(p *process, store string) findings {
	s.t.Helper()
	c := s.client()
	ctx, cancel := context.WithTimeout(s.t.Context(), 60*time.Second)
	defer cancel()
	sibling, err := client.Call[report](ctx, c, s.topic("work"), order{Nonce: "n"})
	if err != nil {
		s.t.Fatal(err)
	}
	got, err := client.Call[findings](ctx, c, s.topic("attack"), target{
		Host: p.cmd.Process.Pid, Sibling: sibling.PID, Folder: s.dir, Store: s.cfg.Path(store), Broker: s.cfg.WithDefaults().Embedded.Listen, Topic: s.topic("attack"),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

// against holds what an attack got against a column of the document.
func (f findings) against(t *testing.T, documented map[string][2]bool, column int) {
	t.Helper()
	if f.Descriptors != nil {
		t.Errorf("it was born with %q", f.Descriptors)
	}
	for name, why := range f.Attempts {
		may, known := documented[name]
		switch got := why == ""; {
		case !known:
			t.Errorf("%s is not in the document", name)
		case got != may[column]:
			t.Errorf("%s: it got it: %v (%s); the document says %v", name, got, why, may[column])
		}
	}
	if len(f.Attempts) != len(documented) {
		t.Errorf("%d attempts, and %d in the document", len(f.Attempts), len(documented))
	}
}

// documentedReach reads the table: of each attempt, whether it succeeds for a
// plugin with the host's user, and for one of its own.
func documentedReach(t *testing.T) map[string][2]bool {
	t.Helper()
	root, err := testprograms.Repository()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "plugins-security.md"))
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{"yes": true, "no": false}
	reach := make(map[string][2]bool)
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.HasPrefix(strings.TrimSpace(cells[2]), "`") {
			continue
		}
		name := strings.Trim(strings.TrimSpace(cells[2]), "`")
		same, ok1 := words[strings.TrimSpace(cells[3])]
		own, ok2 := words[strings.TrimSpace(cells[4])]
		if _, twice := reach[name]; twice || !ok1 || !ok2 {
			t.Errorf("docs/plugins-security.md: %s", line)
		}
		reach[name] = [2]bool{same, own}
	}
	if len(reach) == 0 {
		t.Fatal("docs/plugins-security.md has no table")
	}
	return reach
}
