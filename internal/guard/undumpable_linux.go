package guard

import (
	"os"

	"golang.org/x/sys/unix"
)

// Undumpable keeps other processes of the same user out of this one's memory,
// environment and open files, and the kernel from writing its memory to a file
// when it crashes. Debuggers of that user cannot attach from then on. What this
// process starts is not affected.
//
// Elsewhere than on Linux it does nothing.
func Undumpable() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}
