package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"rrhost/internal/envelope"
)

const (
	// keyVariable holds the key where none is configured.
	keyVariable = "ENCRYPTION_KEY"
	// keyFile is the key's name in the embedded broker's data folder.
	keyFile = "key"
)

// ErrNoKey is wrapped by the errors of [Config.Ring] where there is no key yet.
var ErrNoKey = errors.New("no encryption key")

// Ring makes the key ring of [encryption]. Its active key is Encryption.Key;
// where that is unset, ENCRYPTION_KEY; and where that is unset too, with the
// embedded broker, the file key in its data folder.
func (c Config) Ring() (*envelope.Ring, error) {
	c = c.WithDefaults()
	ref, from := c.activeKey()
	if from == "" {
		return nil, fmt.Errorf("%w: encryption.key and %s are not set\nhint: rrhost keygen prints one; set it as %[2]s here and on every host and requester", ErrNoKey, keyVariable)
	}
	active, err := c.parseKey(from, ref)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && from == c.keyPath() {
			err = fmt.Errorf("%w: %s is missing\nhint: rrhost run makes it at its first start", ErrNoKey, from)
		}
		return nil, err
	}
	var open []envelope.Key
	for i, ref := range c.Encryption.Open {
		k, err := c.parseKey(element("encryption.open", i), ref)
		if err != nil {
			return nil, err
		}
		open = append(open, k)
	}
	ring, err := envelope.NewRing(active, open...)
	if err != nil {
		return nil, fmt.Errorf("encryption: %w", err)
	}
	return ring, nil
}

// activeKey returns where the active key is and how to name that place; an
// empty name if there is none.
func (c Config) activeKey() (ref Secret, from string) {
	switch {
	case c.Encryption.Key != "":
		return c.Encryption.Key, "encryption.key"
	case os.Getenv(keyVariable) != "":
		return "env:" + keyVariable, keyVariable
	case c.IsEmbedded():
		return Secret("file:" + c.keyPath()), c.keyPath()
	}
	return "", ""
}

func (c Config) keyPath() string {
	p, err := filepath.Abs(filepath.Join(c.Path(c.Embedded.Dir), keyFile))
	if err != nil {
		return filepath.Join(c.Path(c.Embedded.Dir), keyFile)
	}
	return p
}

func (c Config) parseKey(from string, ref Secret) (envelope.Key, error) {
	text, err := ref.Resolve(c.Dir)
	if err != nil {
		return envelope.Key{}, fmt.Errorf("%s: %w", from, err)
	}
	k, err := envelope.ParseKey(text)
	if err != nil {
		return envelope.Key{}, fmt.Errorf("%s: %w", from, err)
	}
	return k, nil
}

// MakeKey makes the file key in the data folder, where that is the one that
// [Config.Ring] would read and it is missing. When several processes do so at
// once they end up with the same key, and none ever sees half of it. With real
// brokers, or a key from elsewhere, it does nothing.
func (c Config) MakeKey() error {
	c = c.WithDefaults()
	if _, from := c.activeKey(); !c.IsEmbedded() || from != c.keyPath() {
		return nil
	}
	if err := makeKey(c.keyPath()); err != nil {
		return fmt.Errorf("make the encryption key: %w\nhint: let this user write there, or set [embedded] dir to another folder", err)
	}
	return nil
}

func makeKey(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// CreateTemp opens with O_EXCL and mode 0600. The link then gives the whole
	// file its name, and fails where another process was first.
	f, err := os.CreateTemp(dir, ".key-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(envelope.GenerateKey() + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a new name in dir survive a power cut: what was sealed with a
// lost key stays sealed.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
