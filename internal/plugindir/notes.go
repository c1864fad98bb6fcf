package plugindir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"time"
)

// Note is what the store remembers of one plugin. All are digests, or empty.
type Note struct {
	// Trusted are the digests that are run where verify is "lock": the first from
	// the directory, the others, which were trusted before it, after a rollback.
	Trusted []string `json:"trusted,omitempty"`
	// Runs is the newest that was ready, Previous the one before.
	Runs     string `json:"runs,omitempty"`
	Previous string `json:"previous,omitempty"`
	// Pinned runs instead of Replaced, for as long as the directory has that.
	Pinned   string `json:"pinned,omitempty"`
	Replaced string `json:"replaced,omitempty"`
}

// Trust makes digest the one that is trusted. What ran stays so for a rollback.
func (n *Note) Trust(digest string) {
	trusted := []string{digest}
	for _, before := range []string{n.Runs, n.Previous, n.Pinned} {
		if slices.Contains(n.Trusted, before) && !slices.Contains(trusted, before) {
			trusted = append(trusted, before)
		}
	}
	n.Trusted = trusted
}

// Trusts reports whether a digest may run from the directory where verify is
// "lock", and TrustsEarlier whether it may after a rollback.
func (n Note) Trusts(digest string) bool { return len(n.Trusted) > 0 && n.Trusted[0] == digest }

// TrustsEarlier is [Note.Trusts] after a rollback.
func (n Note) TrustsEarlier(digest string) bool { return slices.Contains(n.Trusted, digest) }

// Note returns what is remembered of a plugin.
func (s *Store) Note(name string) (Note, error) {
	all, err := s.notes()
	return all[name], err
}

// ReadNote is [Store.Note] of a store that is not opened, and made if it is
// missing: then there is none.
func ReadNote(store, name string) (Note, error) { return (&Store{store}).Note(name) }

// Change changes what is remembered of a plugin. Hosts and commands that share
// the store wait for each other.
func (s *Store) Change(name string, do func(*Note)) error {
	lock, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("plugin store: %w", err)
	}
	defer lock.Close() // and with it the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock the plugin store: %w", err)
	}
	all, err := s.notes()
	if err != nil {
		return err
	}
	n := all[name]
	was := n
	was.Trusted = slices.Clone(n.Trusted)
	if do(&n); reflect.DeepEqual(n, was) {
		return nil
	}
	all[name] = n
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("plugin store: %w", err)
	}
	tmp := filepath.Join(s.dir, ".notes.json")
	if err := os.WriteFile(tmp, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("plugin store: %w", err)
	}
	if err := os.Rename(tmp, s.notesPath()); err != nil {
		return fmt.Errorf("plugin store: %w", err)
	}
	return nil
}

func (s *Store) notesPath() string { return filepath.Join(s.dir, "notes.json") }

func (s *Store) notes() (map[string]Note, error) {
	all := make(map[string]Note)
	text, err := os.ReadFile(s.notesPath())
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("plugin store: %w", err)
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("plugin store: %s: %w", s.notesPath(), err)
	}
	return all, nil
}

// sweepAfter is how old a build is before it may be removed: a host that shares
// the store may have copied it just now, and note it once it is ready.
const sweepAfter = time.Hour

// Sweep removes the builds that no note names and that are not new.
func (s *Store) Sweep() error {
	all, err := s.notes()
	if err != nil {
		return err
	}
	wanted := make(map[string]bool)
	for _, n := range all {
		for _, digest := range append(slices.Clone(n.Trusted), n.Runs, n.Previous, n.Pinned, n.Replaced) {
			wanted[digest] = true
		}
	}
	builds := filepath.Join(s.dir, "builds")
	entries, err := os.ReadDir(builds)
	if err != nil {
		return fmt.Errorf("plugin store: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if wanted[e.Name()] || err != nil || time.Since(info.ModTime()) < sweepAfter {
			continue
		}
		if err := os.RemoveAll(filepath.Join(builds, e.Name())); err != nil {
			return fmt.Errorf("plugin store: %w", err)
		}
	}
	return nil
}
