package scaffold

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"rrhost"
)

var golang = Language{
	Name: "go", Title: "Go",
	Next:     func(name string) []string { return []string{"go test .", "go build -o " + name + " ."} },
	Updated:  "go mod tidy",
	mark:     "go.mod",
	reserved: []string{sdkFolder, "vendor"}, // the program would lie where the SDK does; go has its own idea of vendor
	sdk:      goSDK,
}

// goPackages are those of this module that a plugin and its tests are built
// from: plugin/plugintest and what it imports.
var goPackages = []string{
	"internal/attach", "internal/guard", "internal/handler", "internal/process", "internal/schema", "internal/stream",
	"plugin", "plugin/plugintest", "plugin/proto",
}

// goModules are the modules that those import, however far down.
var goModules = []string{
	"github.com/fatih/color",
	"github.com/golang/protobuf",
	"github.com/google/jsonschema-go",
	"github.com/google/uuid",
	"github.com/hashicorp/go-hclog",
	"github.com/hashicorp/go-plugin",
	"github.com/hashicorp/yamux",
	"github.com/mattn/go-colorable",
	"github.com/mattn/go-isatty",
	"github.com/oklog/run",
	"github.com/santhosh-tekuri/jsonschema/v6",
	"golang.org/x/net",
	"golang.org/x/sys",
	"golang.org/x/text",
	"google.golang.org/genproto/googleapis/rpc",
	"google.golang.org/grpc",
	"google.golang.org/protobuf",
}

// goAbout is what the templates of go.mod are to know.
type goAbout struct {
	Go      string   // version of the language
	Modules []string // goModules, each with its version
}

// goSDK is the SDK in its folder, and the checksums for a plugin that uses it.
// Versions are this module's own, whose checksums are known: so the plugin builds
// without asking anybody where the modules are at hand.
func goSDK() (files map[string][]byte, about any, err error) {
	files = make(map[string][]byte)
	for _, pkg := range goPackages {
		entries, err := fs.ReadDir(rrhost.SDK, pkg)
		if err != nil {
			return nil, nil, err
		}
		for _, e := range entries {
			name := path.Join(pkg, e.Name())
			if e.IsDir() || strings.HasSuffix(name, "_test.go") {
				continue
			}
			if files[sdkFolder+"/"+name], err = rrhost.SDK.ReadFile(name); err != nil {
				return nil, nil, err
			}
		}
	}
	if files[sdkFolder+"/LICENSE"], err = rrhost.SDK.ReadFile("LICENSE"); err != nil {
		return nil, nil, err
	}
	mod, err := rrhost.SDK.ReadFile("go.mod")
	if err != nil {
		return nil, nil, err
	}
	sums, err := rrhost.SDK.ReadFile("go.sum")
	if err != nil {
		return nil, nil, err
	}
	files["go.sum"] = checksums(sums)
	a, err := requirements(mod)
	return files, a, err
}

// requirements reads from a go.mod what it says about goModules.
func requirements(mod []byte) (a goAbout, err error) {
	missing := slices.Clone(goModules)
	for line := range strings.Lines(string(mod)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && fields[0] == "go":
			a.Go = fields[1]
		case len(fields) >= 2 && strings.HasPrefix(line, "\t"):
			if at := slices.Index(missing, fields[0]); at >= 0 {
				missing = slices.Delete(missing, at, at+1)
				a.Modules = append(a.Modules, fields[0]+" "+fields[1])
			}
		}
	}
	slices.Sort(a.Modules)
	if a.Go == "" || len(missing) > 0 {
		return a, fmt.Errorf("go.mod of the SDK lacks a version of Go, or of %v", missing)
	}
	return a, nil
}

// checksums are the lines of a go.sum about goModules, and about the go.mod of
// all: tools read those of more modules than a program is built from.
func checksums(sums []byte) []byte {
	var lines []byte
	for line := range strings.Lines(string(sums)) {
		if module, _, _ := strings.Cut(line, " "); slices.Contains(goModules, module) || strings.Contains(line, "/go.mod ") {
			lines = append(lines, line...)
		}
	}
	return lines
}
