package devloop

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"rrhost/internal/plugindir"
)

// A print tells of each file that a plugin may be built from when it was changed.
// It reads none of them.
type print map[string]string

// print looks at the plugin's folder, and at the others that it is built from. It
// is empty where there is no plugin.
func (w *watched) print() print {
	p := make(print)
	f := plugindir.Look(w.cfg.Dir, w.name)
	if f.Root == "" {
		return p
	}
	root, err := filepath.EvalSymlinks(f.Root)
	if err != nil {
		return p // it has just gone
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != root && ignored(d):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		return p.add(path, d)
	})
	if err != nil {
		p[root] = err.Error() // it changes right now: another look will tell
	}
	for _, dir := range w.outside {
		entries, err := os.ReadDir(dir)
		if err != nil {
			p[dir] = err.Error()
		}
		for _, e := range entries {
			if e.IsDir() || ignored(e) {
				continue
			}
			if err := p.add(filepath.Join(dir, e.Name()), e); err != nil {
				p[dir] = err.Error()
			}
		}
	}
	return p
}

func (p print) add(path string, d fs.DirEntry) error {
	info, err := d.Info()
	if err == nil {
		p[path] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())
	}
	return err
}

// changed are the files that are not in p as they are in before, or only there.
func (p print) changed(before print) []string {
	var paths []string
	for path, now := range p {
		if before[path] != now {
			paths = append(paths, path)
		}
	}
	for path := range before {
		if _, is := p[path]; !is {
			paths = append(paths, path)
		}
	}
	return paths
}

// ignored are entries that no plugin is built from, though they lie among its
// sources: editors' and tools' own, libraries that others install, tests.
func ignored(d fs.DirEntry) bool {
	name := d.Name()
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || strings.HasSuffix(name, "_test.go") ||
		d.IsDir() && (name == "node_modules" || name == "__pycache__")
}
