package devloop

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"rrhost/internal/plugindir"
)

// A builder builds one plugin's program.
type builder struct {
	folder string
	argv   []string
	// made is what go build writes, and program where that belongs; empty where the
	// manifest says how to build.
	made, program string
}

func (b *builder) isGo() bool { return b.made != "" }

// builderOf is how f is built; nil if it has nothing to build.
func builderOf(f plugindir.Found) *builder {
	if !f.Folder {
		return nil
	}
	folder, err := filepath.EvalSymlinks(f.Root)
	if err != nil {
		return nil // it has just gone
	}
	if len(f.Manifest.Build) > 0 {
		return &builder{folder: folder, argv: f.Manifest.Build}
	}
	c := f.Manifest.Command
	if len(c) == 0 || c[0] != f.Name && !strings.Contains(c[0], "/") || !filepath.IsLocal(c[0]) || !isGoProgram(folder) {
		return nil
	}
	program := filepath.Join(folder, c[0])
	// Beside the program, so that it can be renamed: a file with a dot is no
	// source, and no program that a host looks for.
	made := filepath.Join(filepath.Dir(program), "."+filepath.Base(program)+".tmp")
	return &builder{
		folder: folder, made: made, program: program,
		// Without debug information it takes a third less; a debugger builds its own.
		argv: []string{"go", "build", "-buildvcs=false", "-ldflags=-w", "-o", made, "."},
	}
}

// isGoProgram tells whether the folder has Go sources of a program: go build
// says better than we could what is wrong with them.
func isGoProgram(folder string) bool {
	sources, err := filepath.Glob(filepath.Join(folder, "*.go"))
	return err == nil && len(sources) > 0
}

// run builds, and puts the program into its place at once. output is what the
// command printed, as it did.
func (b *builder) run(ctx context.Context) (output string, err error) {
	cmd := exec.CommandContext(ctx, b.argv[0], b.argv[1:]...)
	cmd.Dir = b.folder
	// It removes its temporary files where it is interrupted, not killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if b.isGo() {
		defer func() {
			if e := os.Remove(b.made); e != nil && !errors.Is(e, os.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}()
	}
	text, err := cmd.CombinedOutput()
	if err != nil || !b.isGo() {
		return string(text), err
	}
	return string(text), os.Rename(b.made, b.program)
}

// outside are the folders that the program is built from beside its own: of the
// packages of its module, or of one that it takes from a folder.
func (b *builder) outside(ctx context.Context) ([]string, error) {
	if !b.isGo() {
		return nil, nil
	}
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-f",
		`{{with .Module}}{{if or .Main (and .Replace (not .Replace.Version))}}{{$.Dir}}{{end}}{{end}}`, ".")
	cmd.Dir = b.folder
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var dirs []string
	for dir := range strings.Lines(string(out)) {
		dir = strings.TrimSpace(dir)
		if rel, err := filepath.Rel(b.folder, dir); dir != "" && (err != nil || rel == ".." || strings.HasPrefix(rel, "../")) {
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}
