package devloop

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rrhost/internal/plugindir"
)

// print changes whenever a source of the plugin does: it is made of the names,
// sizes and times of the files, and reads none of them. It is empty where there is
// no plugin.
func (w *watched) print() string {
	f := plugindir.Look(w.cfg.Dir, w.name)
	if f.Root == "" {
		return ""
	}
	root, err := filepath.EvalSymlinks(f.Root)
	if err != nil {
		return ""
	}
	var program string
	var into []string // folders that are built into
	if b := builderOf(f); b != nil {
		program = b.program
		if !b.isGo() {
			into = builtInto
		}
	}
	sum := sha256.New()
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == root && !d.IsDir():
			return note(sum, path, d)
		case path == root:
			return nil
		case ignored(d) || d.IsDir() && slices.Contains(into, d.Name()):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case path == program:
			return nil // is made from them
		}
		return note(sum, path, d)
	})
	if err != nil {
		return "changing: " + err.Error() // right now: another look will tell
	}
	for _, dir := range w.outside {
		entries, err := os.ReadDir(dir)
		if err != nil {
			fmt.Fprintln(sum, dir, "has gone")
		}
		for _, e := range entries {
			if e.IsDir() || ignored(e) {
				continue
			}
			if err := note(sum, filepath.Join(dir, e.Name()), e); err != nil {
				return "changing: " + err.Error()
			}
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// builtInto are the folders that the commands of manifests may build into, beside
// the program itself: what appears elsewhere counts as a source.
var builtInto = []string{"bin", "build", "dist", "out", "target"}

// ignored are entries that no plugin is made from, though they lie among its
// sources: editors' and tools' own, libraries that others install, tests.
func ignored(d fs.DirEntry) bool {
	name := d.Name()
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || strings.HasSuffix(name, "_test.go") ||
		d.IsDir() && (name == "node_modules" || name == "__pycache__")
}

func note(sum hash.Hash, path string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	if d.IsDir() {
		fmt.Fprintln(sum, path)
		return nil
	}
	fmt.Fprintln(sum, path, info.Mode(), info.Size(), info.ModTime().UnixNano())
	return nil
}
