package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rrhost/internal/testprograms"
)

// The README's plugin, in a module of its own, built and dropped in with the
// README's commands while nothing else is told to it.
func TestPluginWrittenFromTheReadme(t *testing.T) {
	root, err := testprograms.Repository()
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	source := block(t, string(readme), "go", "// main.go")
	commands := block(t, string(readme), "sh", "go mod init")
	table := block(t, string(readme), "toml", "[[topic]]")

	const name = "price"
	s := newSite(t, embedded, layout{topics: table})
	module := t.TempDir()
	if err := os.WriteFile(filepath.Join(module, "main.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	// The module's place is the reader's to fill in; his plugin directory is here.
	commands = strings.ReplaceAll(commands, "/path/to/rrhost/plugins", filepath.Join(s.dir, "plugins"))
	commands = strings.ReplaceAll(commands, "/path/to/rrhost", root)
	cmd := exec.Command("sh", "-e", "-c", commands)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the README's commands: %v\n%s", err, out)
	}
	s.start()
	if got := s.rrclient("request", name, `{"items":[1,2,3]}`); got.code != 0 || got.stdout != "{\"total\":6}\n" {
		t.Errorf("the plugin: %+v, want {\"total\":6}", got)
	}
	if got := s.rrclient("request", name, `{"items":[]}`); got.code != 4 || !strings.Contains(got.stderr, "empty_order") {
		t.Errorf("the plugin: %+v, want its own error", got)
	}
}

// block is the first fenced block of a language that holds a text.
func block(t *testing.T, document, language, with string) string {
	t.Helper()
	for _, found := range regexp.MustCompile(`(?s)`+"```"+language+`\n(.*?)`+"```").FindAllStringSubmatch(document, -1) {
		if strings.Contains(found[1], with) {
			return found[1]
		}
	}
	t.Fatalf("the README has no block of %s with %q", language, with)
	return ""
}
