// Package hint is what an error says to do next.
package hint

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// File adds to an error about a file or folder that the configuration names what
// to do about it, where that is known. The hint is the error's end.
func File(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w (hint: make it, or name another)", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (hint: %s)", err, Permission)
	}
	return err
}

// Permission is what to do where a file or folder cannot be used by this user.
const Permission = "run this as the user that it belongs to, or give it to the user that this runs as"

// Quote quotes a path or another word for a line that is meant to be typed into a
// shell.
func Quote(word string) string {
	if word != "" && strings.IndexFunc(word, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%", r)
	}) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
