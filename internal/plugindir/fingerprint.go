package plugindir

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
)

// Fingerprint changes whenever the plugin does: it is made of the names, sizes,
// times and modes of its files, and reads none of them. It is empty where there is
// nothing. A link in the directory stands for what it points to.
func (f Found) Fingerprint() string {
	if f.Root == "" {
		return ""
	}
	root, err := filepath.EvalSymlinks(f.Root)
	if err != nil {
		return "" // it has just gone
	}
	sum := sha256.New()
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if f.Folder && filepath.Dir(path) == root && !f.Manifest.has(d.Name()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var inode uint64
		if about, ok := info.Sys().(*syscall.Stat_t); ok {
			inode = about.Ino
		}
		if path == root && len(f.Manifest.Files) > 0 {
			return nil // its time is of all that is in it
		}
		size := info.Size()
		if d.IsDir() {
			size = 0 // changes with what is in it, which is looked at
		}
		fmt.Fprintf(sum, "%s\x00%v %d %d %d\n", path, info.Mode(), size, info.ModTime().UnixNano(), inode)
		return nil
	})
	if err != nil {
		return "" // it changes right now, or is gone
	}
	return hex.EncodeToString(sum.Sum(nil))
}
