package rules

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	quoted = regexp.MustCompile("`([^`]+)`")
	braced = regexp.MustCompile(`^(.*)\{(.*)\}$`)
)

// tabled are the folders that ARCHITECTURE.md names in the first column of its
// table of packages.
func tabled(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Packages\n")
	table, _, _ = strings.Cut(table, "\n## ")
	var names []string
	for row := range strings.Lines(table) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), "|")
		if !strings.HasPrefix(row, "| `") {
			continue
		}
		for _, name := range quoted.FindAllStringSubmatch(cell, -1) {
			if b := braced.FindStringSubmatch(name[1]); b != nil { // a/{b,c}
				for leaf := range strings.SplitSeq(b[2], ",") {
					names = append(names, b[1]+leaf)
				}
			} else {
				names = append(names, name[1])
			}
		}
	}
	return names
}

// The table names each package, or of a tree that nothing else imports its root;
// and nothing that is gone.
func TestArchitectureNamesThePackages(t *testing.T) {
	names := tabled(t)
	for _, name := range names {
		if info, err := os.Stat(filepath.Join("../..", name)); err != nil || !info.IsDir() {
			t.Errorf("ARCHITECTURE.md names %s, which is no folder: %v", name, err)
		}
	}
	for _, p := range list(t) {
		name, below := strings.CutPrefix(p.ImportPath, "rrhost/")
		if !below { // the root, which the table names in words
			continue
		}
		stands := func(root string) bool {
			return name == root || isFree(name) && strings.HasPrefix(name, root+"/")
		}
		if !slices.ContainsFunc(names, stands) {
			t.Errorf("the table of ARCHITECTURE.md does not name %s", name)
		}
	}
}
