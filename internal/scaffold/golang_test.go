package scaffold

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rrhost"
)

// TestGoSDKIsWhatItImports: the lists of packages and modules are exactly what
// package plugin/plugintest is built from, on every system that hosts run on.
func TestGoSDKIsWhatItImports(t *testing.T) {
	var packages, modules []string
	for _, system := range []string{"linux", "darwin"} {
		cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Module,EmbedFiles", "rrhost/plugin/plugintest")
		cmd.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
			var p struct {
				ImportPath string
				Module     *struct {
					Path string
					Main bool
				}
				EmbedFiles []string
			}
			if err := dec.Decode(&p); err != nil {
				t.Fatal(err)
			}
			switch {
			case p.Module == nil: // Go's own
			case p.Module.Main:
				packages = append(packages, strings.TrimPrefix(p.ImportPath, "rrhost/"))
				if len(p.EmbedFiles) > 0 {
					t.Errorf("%s embeds %v: goSDK takes Go files alone", p.ImportPath, p.EmbedFiles)
				}
			default:
				modules = append(modules, p.Module.Path)
			}
		}
	}
	same(t, "goPackages", goPackages, packages)
	same(t, "goModules", goModules, modules)

	// And embed.go has all that is in those packages.
	for _, pkg := range goPackages {
		sources, err := filepath.Glob("../../" + pkg + "/*.go")
		if err != nil || len(sources) == 0 {
			t.Errorf("%s: no sources (%v)", pkg, err)
		}
		for _, file := range sources {
			name := pkg + "/" + filepath.Base(file)
			if _, err := fs.Stat(rrhost.SDK, name); err != nil {
				t.Errorf("embed.go lacks %s", name)
			}
		}
	}
}

func same(t *testing.T, what string, have, want []string) {
	t.Helper()
	slices.Sort(want)
	if want = slices.Compact(want); !slices.Equal(have, want) {
		t.Errorf("%s is %q, and must be %q", what, have, want)
	}
}

// TestGoPlugin: what is written is formatted, builds from the modules at
// hand alone, passes its own tests, and runs.
func TestGoPlugin(t *testing.T) {
	p := begin(t, golang)
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOFLAGS", "-mod=readonly")
	t.Setenv("GOWORK", "off")
	if unformatted := p.run(t, "gofmt -l main.go main_test.go"); unformatted != "" {
		t.Errorf("gofmt would change %s", unformatted)
	}
	if os.Getenv("RRHOST_TEST_FAST") == "" {
		p.follow(t)
	} else { // its own tests take as long again
		p.run(t, "go build -o "+p.Name+" .")
	}
	p.run(t, "go vet ./...")
	// What is not at hand may be missing here, but not its checksum.
	if graph := p.run(t, "go list -m all 2>&1 || true"); strings.Contains(graph, "missing go.sum entry") {
		t.Errorf("go.sum is not complete: %s", graph)
	}
	p.answers(t)
	for _, no := range []string{"rrhost-sdk/plugin/serve_test.go", "rrhost-sdk/go.sum"} {
		if _, err := os.Stat(filepath.Join(p.Folder, no)); err == nil {
			t.Errorf("%s has no business there", no)
		}
	}
}
