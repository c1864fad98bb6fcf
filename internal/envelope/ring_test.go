package envelope

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestSealOpen(t *testing.T) {
	ring := mustRing(t, mustKey(t))
	big := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	tests := []struct {
		name         string
		plain, about []byte
	}{
		{"nothing", nil, nil},
		{"no about", []byte("x"), nil},
		{"no plain", nil, []byte("x")},
		{"one block", big[:16], big[:16]},
		{"a block and a byte", big[:17], big[:17]},
		{"unicode", []byte(`{"name":"Ωμέγα 🜁"}`), []byte("тема")},
		{"a megabyte", big, []byte("about")},
		{"an about too large for the pool", []byte("x"), big},
	}
	rooms := map[string]func(need int) []byte{
		"nil":       func(int) []byte { return nil },
		"exact":     func(need int) []byte { return append(make([]byte, 0, need+3), "dst"...) },
		"too tight": func(need int) []byte { return append(make([]byte, 0, need+2), "dst"...) },
		"much":      func(need int) []byte { return append(make([]byte, 0, 2*need+100), "dst"...) },
	}
	for _, tt := range tests {
		for room, dst := range rooms {
			t.Run(tt.name+"/"+room, func(t *testing.T) {
				before := dst(len(tt.plain) + Overhead)
				sealed := ring.Seal(before, tt.plain, tt.about)
				if !bytes.HasPrefix(sealed, before) {
					t.Fatal("Seal changed what was in dst")
				}
				sealed = sealed[len(before):]
				if len(sealed) != len(tt.plain)+Overhead {
					t.Errorf("sealed %d bytes to %d, want %d more", len(tt.plain), len(sealed), Overhead)
				}
				if id, ok := IDOf(sealed); !ok || id != ring.ActiveID() {
					t.Errorf("IDOf = %v, %v; want %v", id, ok, ring.ActiveID())
				}
				kept := bytes.Clone(sealed)
				before = dst(len(tt.plain))
				got, err := ring.Open(before, sealed, tt.about)
				if err != nil || !bytes.Equal(got, append(bytes.Clone(before), tt.plain...)) {
					t.Errorf("Open = %d bytes, %v; want dst and the plaintext", len(got), err)
				}
				if !bytes.Equal(kept, sealed) {
					t.Error("Open changed the sealed value")
				}
			})
		}
	}
}

func TestSealNeverRepeats(t *testing.T) {
	ring := mustRing(t, mustKey(t))
	seen := map[string]bool{}
	for range 1000 {
		iv := string(ring.Seal(nil, nil, nil)[ivAt:headSize])
		if seen[iv] {
			t.Fatal("an IV came twice")
		}
		seen[iv] = true
	}
}

func TestNewRingRefuses(t *testing.T) {
	a, b := mustKey(t), mustKey(t)
	tests := map[string]struct {
		active   Key
		openOnly []Key
	}{
		"no active key":       {Key{}, []Key{a}},
		"an empty open key":   {a, []Key{b, {}}},
		"active also to open": {a, []Key{b, a}},
		"one twice":           {a, []Key{b, b}},
	}
	for name, tt := range tests {
		if r, err := NewRing(tt.active, tt.openOnly...); err == nil || r != nil {
			t.Errorf("%s: NewRing = %v, %v; want an error", name, r, err)
		}
	}
}

// TestRotation walks through a change of keys with two processes that are
// never at the same step.
func TestRotation(t *testing.T) {
	old, young := mustKey(t), mustKey(t)
	steps := []*Ring{
		mustRing(t, old),
		mustRing(t, old, young),
		mustRing(t, young, old),
		mustRing(t, young),
	}
	for i := range steps[1:] {
		for _, pair := range [][2]*Ring{{steps[i], steps[i+1]}, {steps[i+1], steps[i]}} {
			sealed := pair[0].Seal(nil, []byte("x"), nil)
			if _, err := pair[1].Open(nil, sealed, nil); err != nil {
				t.Errorf("between steps %d and %d: %v", i, i+1, err)
			}
		}
	}
	sealed := steps[0].Seal(nil, []byte("x"), nil)
	_, err := steps[3].Open(nil, sealed, nil)
	var unknown *UnknownKeyError
	if !errors.As(err, &unknown) || unknown.ID != old.ID() || !errors.Is(err, ErrUndecryptable) {
		t.Errorf("Open with a retired key = %v, want its id", err)
	}
}

// TestKeyIDCommits: a value whose id was exchanged for that of another key of
// the ring is not tried with any other.
func TestKeyIDCommits(t *testing.T) {
	a, b := mustKey(t), mustKey(t)
	ring := mustRing(t, a, b)
	sealed := ring.Seal(nil, []byte("x"), nil)
	id := b.ID()
	copy(sealed[idAt:], id[:])
	if _, err := ring.Open(nil, sealed, nil); !errors.Is(err, ErrUndecryptable) {
		t.Errorf("Open under another key's id = %v", err)
	}
}

// TestOneError: from outside all failures look alike.
func TestOneError(t *testing.T) {
	ring := mustRing(t, mustKey(t), mustKey(t))
	good := ring.Seal(nil, []byte("secret"), []byte("about"))
	altered := func(at int) []byte { b := bytes.Clone(good); b[at] ^= 1; return b }
	tests := map[string][]byte{
		"nil": nil, "empty": {}, "one byte": {1}, "a byte short": good[:Overhead-1], "cut": good[:len(good)-1],
		"version": altered(0), "key id": altered(idAt), "salt": altered(saltAt), "IV": altered(ivAt),
		"ciphertext": altered(headSize), "tag": altered(len(good) - 1), "longer": append(bytes.Clone(good), 0),
		"twice": append(bytes.Clone(good), good...), "other ring": mustRing(t, mustKey(t)).Seal(nil, []byte("secret"), []byte("about")),
	}
	for name, sealed := range tests {
		dst := append(make([]byte, 0, 100), "dst"...)
		got, err := ring.Open(dst, sealed, []byte("about"))
		if !errors.Is(err, ErrUndecryptable) || err.Error() != "undecryptable" {
			t.Errorf("%s: error is %q", name, err)
		}
		if string(got) != "dst" {
			t.Errorf("%s: dst is %q after failure", name, got)
		}
		if strings.Contains(string(dst[:cap(dst)]), "secret") {
			t.Errorf("%s: plaintext is left behind in dst", name)
		}
	}
	for name, sealed := range map[string][]byte{"short": good[:Overhead-1], "version": altered(0), "nil": nil} {
		if id, ok := IDOf(sealed); ok || id != (KeyID{}) {
			t.Errorf("%s: IDOf = %v, %v", name, id, ok)
		}
	}
}
