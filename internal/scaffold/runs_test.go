package scaffold

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"rrhost"
	"rrhost/internal/handler"
	"rrhost/internal/plugindir"
	"rrhost/internal/process"
	"rrhost/internal/stream"
)

// begun is a new plugin, in a test.
type begun struct{ Plugin }

func begin(t *testing.T, l Language) begun {
	t.Helper()
	p, err := New(filepath.Join(t.TempDir(), "first-one"), l)
	if err != nil {
		t.Fatal(err)
	}
	return begun{p}
}

// run runs a command line in the plugin's folder, as its author does.
func (p begun) run(t *testing.T, line string) string {
	t.Helper()
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = p.Folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// follow types what the author is told to.
func (p begun) follow(t *testing.T) {
	t.Helper()
	for _, line := range p.Language.Next(p.Name) {
		p.run(t, line)
	}
}

// answers runs the plugin as a host does, from a copy, and asks it.
func (p begun) answers(t *testing.T) {
	t.Helper()
	store, err := plugindir.OpenStore(filepath.Join(t.TempDir(), "data", "plugins"), true)
	if err != nil {
		t.Fatal(err)
	}
	b, err := store.Stage(plugindir.At(p.Folder))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	proc, err := process.Start(ctx, process.Config{
		Name: p.Name, Path: b.Program, Args: b.Args, Dir: b.Dir, NoTLS: b.Manifest.TLS != nil && !*b.Manifest.TLS,
		Logger: hclog.New(&hclog.LoggerOptions{Output: t.Output()}),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = proc.Stop(ctx) }() // its end is not what is tested
	results := make(chan stream.Result, 1)
	proc.Instance().Start(stream.Request{
		Handler: p.Name, Info: handler.Info{RequestID: "id", Topic: p.Name, Attempt: 1},
		Deadline: time.Now().Add(time.Minute), Payload: []byte(p.Request),
	}, func(r stream.Result) { results <- r })
	if r := <-results; string(r.Payload) != p.Response {
		t.Errorf("%s is answered %s (%v), want %s", p.Request, r.Payload, r.Err, p.Response)
	}
}

// needs skips what takes a network where only quick tests are wanted. Else the
// language's own tools must be there, as scripts/services/languages.sh sees to.
func needs(t *testing.T, commands ...string) {
	t.Helper()
	if os.Getenv("RRHOST_TEST_FAST") != "" {
		t.Skip("RRHOST_TEST_FAST is set, and this installs libraries")
	}
	for _, line := range commands {
		if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s: scripts/services/languages.sh go test …, as in make test", line, err, out)
		}
	}
}

func TestTypeScriptPlugin(t *testing.T) {
	t.Parallel()
	needs(t, "node --version", "npm --version")
	p := begin(t, typescript)
	p.follow(t)
	p.answers(t)
}

func TestPythonPlugin(t *testing.T) {
	t.Parallel()
	needs(t, "python3 -m pip --version")
	p := begin(t, python)
	p.follow(t)
	p.answers(t)
}

// TestSDKsAreWhole: embed.go has every source of the SDKs that are no Go, and
// nothing but them; and the templates found the versions of all libraries.
func TestSDKsAreWhole(t *testing.T) {
	for root, is := range map[string]*regexp.Regexp{
		"sdk/python/rrhost":         regexp.MustCompile(`\.(py|pyi|typed)$`),
		"sdk/typescript/src/plugin": regexp.MustCompile(`\.ts$`),
		"sdk/typescript/bin":        regexp.MustCompile(`\.mjs$`),
	} {
		want := make(map[string]bool)
		err := filepath.WalkDir(filepath.Join("..", "..", root), func(path string, d fs.DirEntry, err error) error {
			if err == nil && is.MatchString(path) {
				want[strings.TrimPrefix(filepath.ToSlash(path), "../../")] = true
			}
			return err
		})
		if err != nil || len(want) == 0 {
			t.Fatalf("%s: no sources (%v)", root, err)
		}
		err = fs.WalkDir(rrhost.SDK, root, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !want[name] {
				t.Errorf("embed.go has %s, which is no source", name)
			}
			delete(want, name)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		for name := range want {
			t.Errorf("embed.go lacks %s", name)
		}
	}
	_, about, err := typescriptSDK()
	if err != nil {
		t.Fatal(err)
	}
	a := about.(typescriptAbout)
	for _, versions := range []map[string]string{a.Libraries, a.Tools} {
		for name, version := range versions {
			if version == "" {
				t.Errorf("package.json of the SDK has no %s", name)
			}
		}
	}
	imports := regexp.MustCompile(`from "([^".][^"]*)"`)
	for _, text := range mustTree(t, "sdk/typescript") {
		for _, m := range imports.FindAllStringSubmatch(string(text), -1) {
			name := m[1]
			if parts := strings.Split(name, "/"); strings.HasPrefix(name, "@") {
				name = parts[0] + "/" + parts[1]
			} else {
				name = parts[0]
			}
			if !strings.HasPrefix(name, "node:") && name != "rrhost" && a.Libraries[name] == "" && a.Tools[name] == "" {
				t.Errorf("the SDK imports %s, which package.json of a new plugin lacks", name)
			}
		}
	}
}

func mustTree(t *testing.T, root string) map[string][]byte {
	t.Helper()
	files, err := tree(root)
	if err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if !strings.HasSuffix(name, "s") { // .ts and .mjs
			delete(files, name)
		}
	}
	return files
}
