package process

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// unrunnable is what is wrong with the program at path, where err is the system's
// for it: that speaks of the program, and not of what it is run with. Empty: err
// says it all.
func unrunnable(path string, err error) string {
	here := runtime.GOOS + "/" + runtime.GOARCH
	head := firstBytes(path)
	switch interpreter := interpreterOf(head); {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Sprintf("it is not a program for %s: build it for that; if it is a script, begin it with #! and its interpreter", here)
	case !errors.Is(err, fs.ErrNotExist):
	case interpreter != "" && missing(interpreter):
		return fmt.Sprintf("the interpreter in its first line, %q, is missing: install it, or name another", interpreter)
	case strings.HasPrefix(head, "\x7fELF"):
		return "what it was linked to be loaded with is missing: build it for this system, or link it statically"
	}
	return ""
}

// firstBytes is what the system looks at to learn how a file is run; empty where
// it cannot be read.
func firstBytes(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := io.ReadFull(f, head) // a short one is whole
	return string(head[:n])
}

// interpreterOf is the program that runs a script that begins so; empty for what
// is no script.
func interpreterOf(head string) string {
	line, isScript := strings.CutPrefix(head, "#!")
	if !isScript {
		return ""
	}
	line, _, _ = strings.Cut(line, "\n")
	name, _, _ := strings.Cut(strings.ReplaceAll(strings.Trim(line, " \t"), "\t", " "), " ")
	return name
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}
