package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"
)

// Load reads the configuration file at path, with defaults filled in. What is
// wrong with its content comes as an [*Error], all of it at once; a file that is
// not TOML is reported for that alone.
func Load(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	c, err := Parse(path, text)
	if err != nil {
		return Config{}, err
	}
	return c, nil
}

// Parse is [Load] for a text that is read already. name is that of the file: it
// stands in errors, and its folder becomes Dir.
func Parse(name string, text []byte) (Config, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // some editors' byte order mark
	l, fault := readLines(text)
	var tables map[string]any
	if fault == nil {
		tables, fault = decode(text)
	}
	if fault != nil {
		return Config{}, &Error{File: name, Faults: []Fault{*fault}}
	}
	f := &faults{lines: l}
	c := Config{Dir: filepath.Dir(name), source: &source{name, l}}
	readTable(f, "", tables, c.keys())
	c.keysByReference(f)
	c = c.WithDefaults()
	c.check(f)
	if len(f.list) > 0 {
		return Config{}, &Error{File: name, Faults: f.sorted()}
	}
	return c, nil
}

// source is the file that a Config was read from.
type source struct {
	file  string
	lines *lines
}

// Place tells where a key stands, as in config.toml:12, for errors that are found
// later. keys lead to it from the top: "plugin", "tax", "config", "countries"; of
// those that are not in the file, the nearest counts. Empty without a file.
func (c Config) Place(keys ...string) string {
	if c.source == nil {
		return ""
	}
	at := ""
	for _, k := range keys {
		at = join(at, k)
	}
	return fmt.Sprintf("%s:%d", c.source.file, c.source.lines.of(at))
}

// decode reads TOML. It takes what readLines has read without an error, so what
// is left to find are keys that come twice and values that no type holds.
func decode(text []byte) (map[string]any, *Fault) {
	var tables map[string]any
	_, err := toml.Decode(string(text), &tables)
	if err == nil {
		return tables, nil
	}
	// Most messages quote the value, which may be a secret.
	f := &Fault{Line: 1, Problem: "is not valid TOML", Want: "write text in quotes, and check numbers and dates"}
	var at toml.ParseError
	if errors.As(err, &at) {
		f.Line = max(at.Position.Line, 1)
		if strings.HasPrefix(at.Message, "Key '") {
			f.Problem, f.Want = strings.TrimSuffix(at.Message, "."), "write it once"
		}
	}
	return nil, f
}

// keysByReference refuses keys that are written out: a file is copied, shown and
// committed. A Config written in Go may hold them.
func (c Config) keysByReference(f *faults) {
	literal := func(at string, s Secret) {
		if s != "" && !strings.HasPrefix(string(s), "env:") && !strings.HasPrefix(string(s), "file:") {
			f.report(at, "is not a reference to a key", wantSecret)
		}
	}
	literal("encryption.key", c.Encryption.Key)
	for i, s := range c.Encryption.Open {
		literal(element("encryption.open", i), s)
	}
}
