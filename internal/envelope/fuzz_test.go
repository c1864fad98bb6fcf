package envelope

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzSealOpen: what was sealed opens, and no longer once a bit of it, or of
// what it is bound to, has changed.
func FuzzSealOpen(f *testing.F) {
	for _, c := range readVectors(f).Cases {
		if c.Plain != nil {
			f.Add([]byte(*c.Plain), []byte(c.About), uint(len(c.Sealed)))
		}
	}
	for flip := range uint(Overhead) { // each part of the head and of the tag
		f.Add([]byte{}, []byte("about"), 8*flip)
	}
	ring := mustRing(f, mustKey(f), mustKey(f))
	f.Fuzz(func(t *testing.T, plain, about []byte, flip uint) {
		sealed := ring.Seal([]byte("dst"), plain, about)[3:]
		if len(sealed) != len(plain)+Overhead {
			t.Fatalf("sealed %d bytes to %d", len(plain), len(sealed))
		}
		if got, err := ring.Open([]byte("dst"), sealed, about); err != nil || !bytes.Equal(got[3:], plain) {
			t.Fatalf("round trip: %q, %v; want %q", got, err, plain)
		}
		if len(about) > 0 {
			other := bytes.Clone(about)
			other[flip/8%uint(len(about))] ^= 1 << (flip % 8)
			if _, err := ring.Open(nil, sealed, other); !errors.Is(err, ErrUndecryptable) {
				t.Errorf("Open with another about: %v, want ErrUndecryptable", err)
			}
		}
		sealed[flip/8%uint(len(sealed))] ^= 1 << (flip % 8)
		if _, err := ring.Open(nil, sealed, about); !errors.Is(err, ErrUndecryptable) {
			t.Errorf("Open with bit %d flipped: %v, want ErrUndecryptable", flip, err)
		}
	})
}

// FuzzOpen: bytes from outside never open, for whoever has not the key; they
// fail in one way, leave dst alone, and leave nothing in the cache.
func FuzzOpen(f *testing.F) {
	ring := mustRing(f, mustKey(f), mustKey(f))
	for _, c := range readVectors(f).Cases {
		f.Add([]byte(c.Sealed), []byte(c.About), false)
		f.Add([]byte(c.Sealed), []byte(c.About), true)
	}
	f.Fuzz(func(t *testing.T, sealed, about []byte, ours bool) {
		if ours && len(sealed) >= saltAt { // get past the key id
			sealed = bytes.Clone(sealed)
			id := ring.ActiveID()
			copy(sealed[idAt:], id[:])
		}
		got, err := ring.Open([]byte("dst"), sealed, about)
		if !errors.Is(err, ErrUndecryptable) || err.Error() != ErrUndecryptable.Error() || string(got) != "dst" {
			t.Fatalf("Open = %q, %v", got, err)
		}
		id, ok := IDOf(sealed)
		if ok != (len(sealed) >= Overhead && sealed[0] == version1) {
			t.Errorf("IDOf = %v, %v", id, ok)
		}
		var unknown *UnknownKeyError
		if wantUnknown := ok && id != ring.ActiveID(); errors.As(err, &unknown) != wantUnknown {
			t.Errorf("unknown key = %v, want %v", !wantUnknown, wantUnknown)
		}
		if cachedSenders(ring) != 0 {
			t.Error("what did not open is in the cache")
		}
	})
}
