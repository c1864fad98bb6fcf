// Package supervise turns a directory of plugins into live processes and their
// streams: it finds them, starts them, watches them, and starts them again.
// One life of a process is package process's.
package supervise

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Found is a plugin in the directory, or what should have been one.
type Found struct {
	// Name is the file's or the folder's.
	Name string
	// Path is the executable, Dir its folder: both absolute.
	Path, Dir string
	// Version is the build's, or 12 digits of its digest.
	Version string
	// Err is why it can't be run, and says what to do; nil if it can.
	Err error
}

// Find looks in dir for the plugins that are named, or for all if names is nil:
// executables, and folders that hold an executable of their own name. What
// begins with a dot is no plugin: that is how to install one, write .tmp and
// rename it. A named one that isn't there is returned with an Err.
//
// The error is about dir itself.
func Find(dir string, names []string) ([]Found, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("plugin directory %s: %w", dir, err)
	}
	entries, err := os.ReadDir(abs)
	if err != nil {
		return nil, fmt.Errorf("plugin directory: %w", err)
	}
	all := names == nil
	if all {
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				names = append(names, e.Name())
			}
		}
	}
	var found []Found
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		f := look(abs, name)
		if all && f.Path == "" {
			continue // a README is no broken plugin
		}
		if f.Err == nil {
			f.Version, f.Err = versionOf(f.Path)
		}
		found = append(found, f)
	}
	return found, nil
}

// look finds one plugin's executable. Path stays empty where there is nothing
// that looks like a plugin.
func look(dir, name string) Found {
	f := Found{Name: name}
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, `/\`) {
		f.Err = fmt.Errorf("%q cannot be a plugin's name: it is a file's name without a leading dot", name)
		return f
	}
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		f.Err = fmt.Errorf("there is no plugin %s in %s: put an executable %s there, or a folder %s with an executable %s in it", name, dir, name, name, name)
		return f
	}
	if err != nil {
		f.Err = err
		return f
	}
	if info.IsDir() {
		f.Path, f.Dir = filepath.Join(path, name), path
		info, err = os.Stat(f.Path)
		if os.IsNotExist(err) || err == nil && info.IsDir() {
			f.Err = fmt.Errorf("the folder %s has nothing to run: build the plugin into it, as %s%s", path, f.Path, buildHint(path, f.Path))
			return f
		}
		if err != nil {
			f.Err = err
			return f
		}
	} else {
		if !info.Mode().IsRegular() {
			f.Err = fmt.Errorf("%s is no regular file", path)
			return f
		}
		if info.Mode()&0o111 == 0 && filepath.Ext(name) != "" {
			f.Err = fmt.Errorf("%s is not executable", path)
			return f // some file beside the plugins
		}
		f.Path, f.Dir = path, dir
	}
	if info.Mode()&0o111 == 0 {
		f.Err = fmt.Errorf("%s is not executable: chmod +x %s", f.Path, f.Path)
	}
	return f
}

// buildHint is the command that makes a folder's plugin, where its source is Go
// and lies in the folder.
func buildHint(folder, target string) string {
	if sources, _ := filepath.Glob(filepath.Join(folder, "*.go")); len(sources) > 0 {
		return fmt.Sprintf(" (go build -C %s -o %s .)", folder, target)
	}
	return ""
}
