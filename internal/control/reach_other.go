//go:build !linux

package control

import (
	"fmt"
	"os"
	"path/filepath"
)

// reach returns the path to a socket in dir, which must be short enough.
func reach(dir, name string) (folder *os.File, path string, err error) {
	const most = 103
	path = filepath.Join(dir, name)
	if len(path) > most {
		return nil, "", fmt.Errorf("control socket: %s is too long for the path of a unix socket (at most %d bytes): set store in [plugins] to a shorter one", path, most)
	}
	folder, err = os.Open(dir)
	if err != nil {
		return nil, "", fmt.Errorf("control socket: %w", err)
	}
	return folder, path, nil
}
