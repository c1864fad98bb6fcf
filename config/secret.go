package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"rrhost/internal/hint"
)

// maxSecret bounds what is read from a secret's file.
const maxSecret = 64 << 10

// hidden is what a secret shows of itself.
const hidden = "***"

// A Secret is a password or a key, by reference: "env:NAME" is the environment
// variable NAME, "file:PATH" is what the file at PATH holds, and anything else
// is the secret itself. Printed, marshalled or logged, it shows ***. Only what
// fmt does not ask it about shows it: an unexported field of a struct, and %p.
type Secret string

func (Secret) String() string   { return hidden }
func (Secret) GoString() string { return hidden }

// Format hides the secret from every verb, also %x and %d.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, hidden) }

func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }
func (Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }

// Resolve returns the secret itself. A relative path is relative to dir. A file
// that others than its owner can read is refused; one newline at its end is not
// part of the secret. No error quotes the secret.
func (s Secret) Resolve(dir string) (string, error) {
	if problem, want := secretRef(s); problem != "" {
		return "", errors.New(problem + "; " + want)
	}
	if name, ok := strings.CutPrefix(string(s), "env:"); ok {
		v := os.Getenv(name)
		if v == "" {
			return "", fmt.Errorf("environment variable %s is not set", name)
		}
		return v, nil
	}
	if path, ok := strings.CutPrefix(string(s), "file:"); ok {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		return readSecret(path)
	}
	return string(s), nil
}

// readSecret reads a file that only its owner can read.
func readSecret(path string) (string, error) {
	// Stat comes first because opening a pipe would block, and again on the open
	// file because the path may have changed in between.
	info, err := os.Stat(path)
	if err != nil {
		return "", hint.File(fmt.Errorf("secret: %w", err))
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("secret: %s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", hint.File(fmt.Errorf("secret: %w", err))
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return "", hint.File(fmt.Errorf("secret: %w", err))
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", fmt.Errorf("secret: %s is open to others (mode %04o); type: chmod 600 %s", path, mode, hint.Quote(path))
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", hint.File(fmt.Errorf("secret: %w", err))
	case len(text) > maxSecret:
		return "", fmt.Errorf("secret: %s is larger than %d bytes", path, maxSecret)
	}
	s := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if s == "" {
		return "", errors.New("secret: " + path + " is empty")
	}
	return s, nil
}
