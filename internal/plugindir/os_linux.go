package plugindir

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// beingWritten tells whether somebody has f open for writing: the kernel grants
// no read lease then. Where it grants none for another reason, as on some network
// file systems, the answer is no.
func beingWritten(f *os.File) bool {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK) // closing ends it too
	}
	return errors.Is(err, unix.EAGAIN)
}
