// Package testprograms builds the programs that tests run. Only tests import it.
package testprograms

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Build puts the programs of packages into a folder, each under the last name of
// its package.
//
// They are built in .cache/testprograms, one test process after the other: there Go
// finds what is as it should be, and what several packages' tests run is linked
// once. The folder gets copies, which nobody else's build replaces.
func Build(dir string, packages ...string) error { return build(dir, "plain", packages) }

// BuildRace is Build, with the race detector.
func BuildRace(dir string, packages ...string) error { return build(dir, "race", packages, "-race") }

func build(dir, kind string, packages []string, flags ...string) error {
	root, err := Repository()
	if err != nil {
		return err
	}
	made := filepath.Join(root, ".cache", "testprograms", kind)
	for _, d := range []string{made, dir} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	unlock, err := lock(made)
	if err != nil {
		return err
	}
	defer unlock()
	// Without symbols: less to link, and to copy and digest where they are plugins.
	args := append([]string{"build", "-ldflags=-s", "-o", made + string(filepath.Separator)}, flags...)
	if err := run(root, "go", append(args, packages...)...); err != nil {
		return err
	}
	// By another program: a file that this one has open for writing while it starts
	// a process cannot be run as long as that process has it (golang.org/issue/22315).
	var copies []string
	for _, p := range packages {
		copies = append(copies, filepath.Join(made, filepath.Base(p)))
	}
	return run("", "cp", append(copies, dir)...)
}

// lock keeps other processes out of a folder, and waits until they are.
func lock(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { _ = d.Close() }, nil
}

func run(dir, program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", program, args, err, text)
	}
	return nil
}

// Repository returns the folder of go.mod, wherever below it the tests run.
func Repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod in any folder above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}
