package sqlite

import (
	"errors"
	"fmt"
	"io/fs"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"rrhost/internal/hint"
)

// advise adds to an error of opening the file what to do about it, where that is
// known.
func advise(err error) error {
	var coded *sqlite.Error
	code := 0
	if errors.As(err, &coded) {
		code = coded.Code() & 0xff // without what SQLite adds to it
	}
	switch {
	case code == lib.SQLITE_NOTADB, code == lib.SQLITE_CORRUPT:
		return fmt.Errorf("%w (hint: move it away, and the host makes a new one; or put a copy of it back)", err)
	case code == lib.SQLITE_CANTOPEN, code == lib.SQLITE_READONLY, code == lib.SQLITE_PERM, errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (hint: %s, with its folder)", err, hint.Permission)
	}
	return err
}
