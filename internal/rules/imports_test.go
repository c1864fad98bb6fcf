// Package rules holds tests about the whole repository.
package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed says which packages of ours each package may import, directly. Imports
// go down this list, never up or sideways; a package that is missing here fails
// the test.
var allowed = map[string][]string{
	"internal/hint":      {},
	"internal/envelope":  {},
	"internal/wire":      {},
	"internal/handler":   {},
	"config":             {"internal/envelope", "internal/hint"},
	"internal/kafka":     {"config", "internal/hint", "internal/wire"},
	"internal/discovery": {"config", "internal/kafka", "internal/wire"},

	"plugin/proto":         {},
	"internal/stream":      {"internal/handler", "plugin/proto"},
	"internal/attach":      {},
	"internal/guard":       {},
	"internal/process":     {"internal/attach", "internal/guard", "internal/handler", "internal/stream", "plugin/proto"},
	"internal/httpserve":   {},
	"internal/control":     {"internal/httpserve"},
	"internal/schema":      {"internal/handler"},
	"internal/plugindir":   {"internal/hint", "internal/stream"},
	"internal/devloop":     {"internal/plugindir"},
	"internal/conformance": {"internal/handler", "internal/process", "internal/schema", "internal/stream", "plugin/proto"},
	"plugin":               {"internal/attach", "internal/handler", "internal/process", "internal/stream", "plugin/proto"},
	"plugin/conformance":   {"plugin"},
	"plugin/plugintest":    {"internal/handler", "internal/process", "internal/schema", "internal/stream", "plugin", "plugin/proto"},
	"rrhost":               {}, // the module's root, which embeds the SDKs
	"internal/scaffold":    {"rrhost"},

	"client":            {"config", "internal/discovery", "internal/envelope", "internal/kafka", "internal/wire"},
	"client/clienttest": {"client", "config", "internal/discovery", "internal/handler", "internal/schema", "internal/wire"},

	"audit/internal/trail":     {"internal/envelope", "internal/wire"},
	"audit/internal/sqlite":    {"audit/internal/trail", "internal/hint"},
	"audit/internal/cassandra": {"audit/internal/trail", "config", "internal/hint"},
	"audit":                    {"audit/internal/trail", "audit/internal/sqlite", "audit/internal/cassandra", "config", "internal/envelope", "internal/handler", "internal/kafka", "internal/wire"},

	"host/internal/embedded":  {"config", "internal/kafka"},
	"host/internal/supervise": {"internal/attach", "internal/plugindir", "internal/process", "internal/schema", "internal/stream"},
	"host/internal/intake":    {"internal/wire"},
	"host/internal/dispatch":  {"internal/handler", "internal/schema", "internal/stream", "internal/wire"},
	"host/internal/reply":     {"host/internal/dispatch", "internal/envelope", "internal/kafka", "internal/wire"},
	"host/internal/admin":     {"audit", "host/internal/dispatch", "host/internal/intake", "host/internal/supervise", "internal/httpserve", "internal/wire"},
	"host": {"audit", "config", "host/internal/admin", "host/internal/dispatch", "host/internal/embedded", "host/internal/intake",
		"host/internal/reply", "host/internal/supervise", "internal/control", "internal/discovery", "internal/envelope", "internal/guard", "internal/handler", "internal/kafka", "internal/plugindir", "internal/process", "internal/schema", "internal/stream",
		"internal/wire", "plugin"},
}

// free are the trees that may import whatever they need: nothing imports them.
var free = []string{"cmd/", "examples/", "plugins/", "bench", "test/", "internal/testservices", "internal/testprograms", "internal/testplugin", "internal/rules", "audit/internal/storetest"}

// forbidden are libraries that a package must not bring along, however far down:
// who requests needs no plugin transport, who writes a plugin no Kafka.
var forbidden = map[string][]string{
	"client": {"google.golang.org/grpc", "github.com/hashicorp/go-plugin", "github.com/gocql/gocql", "modernc.org/sqlite"},
	"plugin": {"github.com/IBM/sarama", "github.com/gocql/gocql", "modernc.org/sqlite", "github.com/twmb/franz-go"},
	"host":   {"github.com/rogpeppe/go-internal", "go.uber.org/goleak", "github.com/stretchr/testify"},
}

func isFree(name string) bool {
	return slices.ContainsFunc(free, func(tree string) bool { return strings.HasPrefix(name, tree) })
}

type pkg struct {
	ImportPath    string
	Imports, Deps []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "rrhost/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsGoDown(t *testing.T) {
	seen := 0
	for _, p := range list(t) {
		name := strings.TrimPrefix(p.ImportPath, "rrhost/")
		if isFree(name) {
			continue
		}
		may, known := allowed[name]
		if !known {
			t.Errorf("package %s is not in the table: say what it may import", name)
			continue
		}
		seen++
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, "rrhost/"); (ok || i == "rrhost") && !slices.Contains(may, ours) {
				t.Errorf("%s imports %s", name, ours)
			}
		}
		for _, no := range forbidden[name] {
			for _, d := range p.Deps {
				if d == no || strings.HasPrefix(d, no+"/") {
					t.Errorf("%s brings along %s", name, d)
					break
				}
			}
		}
	}
	if seen != len(allowed) {
		t.Errorf("%d packages seen, %d in the table: take out those that are gone", seen, len(allowed))
	}
}
