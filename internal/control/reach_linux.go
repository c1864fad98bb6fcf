package control

import (
	"fmt"
	"os"
)

// reach returns a path to a socket in dir that is short enough for one, however
// long dir is. It is good for as long as folder is open.
func reach(dir, name string) (folder *os.File, path string, err error) {
	folder, err = os.Open(dir)
	if err != nil {
		return nil, "", fmt.Errorf("control socket: %w", err)
	}
	return folder, fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), name), nil
}
