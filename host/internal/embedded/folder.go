package embedded

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	lockFile = "lock"
	// logFolder is kfake's own in the data folder, which holds other things too:
	// the key, the audit store.
	logFolder = "broker"
)

// ErrInUse means that another process, likely a second host, has the data
// folder.
var ErrInUse = errors.New("the data folder is in use")

// openFolder makes dir where it is missing, for this user alone, and locks it.
// The lock is held until the file is closed or the process is gone.
func openFolder(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	if err := closeToOthers(dir); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s belongs to %s (hint: one host a folder; stop the other, or set [embedded] dir)", ErrInUse, dir, holder(lock))
		}
		return nil, fmt.Errorf("lock the data folder %s: %w", dir, err)
	}
	if err := writeHolder(lock); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the data folder: %w", err), lock.Close())
	}
	return lock, nil
}

// closeToOthers takes dir's permissions from everybody but its owner, unless
// it may be a folder for other things that was named by mistake.
func closeToOthers(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, lockFile)); len(entries) > 0 && err != nil {
		return fmt.Errorf("%s is open to other users and holds other things (hint: give [embedded] dir a folder of its own)", dir)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("close the data folder to others: %w", err)
	}
	return nil
}

// holder names who wrote its pid into a lock file.
func holder(lock *os.File) string {
	text, err := io.ReadAll(io.LimitReader(lock, 32))
	if pid, bad := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && bad == nil {
		return fmt.Sprintf("process %d", pid)
	}
	return "another process" // which has locked it this moment
}

func writeHolder(lock *os.File) error {
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// openPassword reads the broker's password, which is made when it is missing.
// The folder is locked, so nobody else makes one; a client that reads it at
// the same time finds the whole of it or nothing.
func openPassword(path string) (string, error) {
	text, err := os.ReadFile(path)
	switch password := strings.TrimSpace(string(text)); {
	case errors.Is(err, os.ErrNotExist):
		return makePassword(path)
	case err != nil:
		return "", fmt.Errorf("read the broker's password: %w", err)
	case password == "":
		return "", fmt.Errorf("%s is empty (hint: remove it, and the next start makes a new one)", path)
	default:
		if err := os.Chmod(path, 0o600); err != nil {
			return "", fmt.Errorf("close the broker's password to others: %w", err)
		}
		return password, nil
	}
}

func makePassword(path string) (string, error) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	password := hex.EncodeToString(random)
	if err := writeWhole(path, password+"\n"); err != nil {
		return "", fmt.Errorf("make the broker's password: %w", err)
	}
	return password, nil
}

// writeWhole writes a file, mode 0600, that is never seen in part.
func writeWhole(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone when it was renamed
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
