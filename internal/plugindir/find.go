// Package plugindir is the plugin directory, and the host's store of what it
// runs from there: it finds plugins, reads their manifests, says who could have
// written them, copies them under the name of their digest, and remembers which
// digest is trusted, runs, and ran before.
package plugindir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"rrhost/internal/hint"
)

// Found is a plugin in the directory, or what should have been one.
type Found struct {
	// Name is the file's or the folder's.
	Name string
	// Root is the file or the folder, absolute and no link; empty if there is none.
	Root string
	// Dir is the directory that it was found in, absolute.
	Dir string
	// Folder tells which of the two it is.
	Folder bool
	// Manifest is the folder's plugin.toml, or what stands for it.
	Manifest Manifest
	// Err is why it can't be run, and says what to do; nil if it can.
	Err error
}

// ErrAbsent is wrapped by the Err of a plugin that is not there.
var ErrAbsent = errors.New("there is no plugin")

// Find looks in dir for the plugins that are named, or for all if names is nil:
// executables, and folders that hold an executable of their own name or a
// plugin.toml. What begins with a dot is no plugin: that is how to install one,
// write .tmp and rename it. A named one that isn't there is returned with an Err.
//
// The error is about dir itself.
func Find(dir string, names []string) ([]Found, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("plugin directory %s: %w", dir, err)
	}
	entries, err := os.ReadDir(abs)
	if err != nil {
		return nil, hint.File(fmt.Errorf("plugin directory: %w", err))
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
		f := Look(abs, name)
		if all && f.Root == "" {
			continue // a README is no broken plugin
		}
		found = append(found, f)
	}
	return found, nil
}

// Look finds one plugin in dir.
func Look(dir, name string) Found {
	f := Found{Name: name}
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, `/\`) {
		f.Err = fmt.Errorf("%q cannot be a plugin's name: it is a file's name without a leading dot", name)
		return f
	}
	if f.Dir, f.Err = filepath.Abs(dir); f.Err != nil {
		return f
	}
	path := filepath.Join(f.Dir, name)
	there := path
	// What is looked at from here on is run, wherever a link leads in the meantime.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		f.Err = fmt.Errorf("%w %s in %s: put an executable %s there, or a folder %s with an executable %s in it", ErrAbsent, name, dir, name, name, name)
		return f
	}
	if err != nil {
		f.Err = err
		return f
	}
	if info.IsDir() {
		f.Root, f.Folder = path, true
		f.Manifest, f.Err = readManifest(path, name)
		return f
	}
	switch executable := info.Mode()&0o111 != 0; {
	case !info.Mode().IsRegular():
		f.Err = fmt.Errorf("%s is no regular file", called(there))
	case !executable && filepath.Ext(name) != "":
		f.Err = fmt.Errorf("%s is not executable", called(there)) // some file beside the plugins
	case !executable:
		f.Root = path
		f.Err = notExecutable(there, f.Dir)
	default:
		f.Root, f.Manifest = path, Manifest{Command: []string{name}}
	}
	return f
}

// called is how a message calls the file at path: by its own name, and, of a link,
// by where it leads.
func called(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil && isLink(path) {
		return path + " is a link to " + real + ", which"
	}
	return path
}

func isLink(path string) bool {
	_, err := os.Readlink(path)
	return err == nil
}

// notExecutable is the error of a program in dir that cannot be run. What to type
// changes nothing outside of dir.
func notExecutable(path, dir string) error {
	mend := "chmod +x " + hint.Quote(path)
	real, err := filepath.EvalSymlinks(path)
	dir, e := filepath.EvalSymlinks(dir)
	if errors.Join(err, e) != nil || !strings.HasPrefix(real, dir+"/") {
		mend = "put an executable in its place"
	}
	return fmt.Errorf("%s is not executable: %s", called(path), mend)
}

// At is the plugin at path, wherever that is: an executable or a folder, as in
// the plugin directory.
func At(path string) Found {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Found{Name: filepath.Base(path), Err: fmt.Errorf("plugin %s: %w", path, err)}
	}
	return Look(filepath.Dir(abs), filepath.Base(abs))
}

// Origin is where b's program lies in dir, the plugin directory that b is a copy
// from; where it lies itself if it is no part of the plugin.
func (b Build) Origin(dir string) string {
	program, err := filepath.Rel(b.Dir, b.Program)
	if err != nil || !filepath.IsLocal(program) {
		return b.Program
	}
	at := filepath.Join(dir, b.Name)
	if info, err := os.Stat(at); err == nil && info.IsDir() {
		return filepath.Join(at, program)
	}
	return at
}

// Foreign tells that the plugin's file, or the program in its folder, belongs to
// somebody else: then this process cannot ask whether it is being written.
func (f Found) Foreign() bool {
	path := f.Root
	if f.Folder && len(f.Manifest.Command) > 0 {
		path = filepath.Join(path, f.Manifest.Command[0])
	}
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	about, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Geteuid() != 0 && int(about.Uid) != os.Geteuid()
}
