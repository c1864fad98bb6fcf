package envelope

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const keySize = 32

// masked is what a key prints as, wherever it is printed.
const masked = "***"

// A Key is one 256-bit key of a ring. It prints, marshals and logs as ***. The
// zero Key is no key, and no ring takes it.
type Key struct {
	// bytes gives the key, or is nil. It is a function since fmt prints a
	// struct's fields without asking it when it is in an unexported field, and
	// what a pointer points to when the verb does not fit. In a function
	// nothing finds anything.
	bytes func() *[keySize]byte
}

// GenerateKey returns a new random key as [ParseKey] reads it: 64 hex
// characters.
func GenerateKey() string {
	var b [keySize]byte
	rand.Read(b[:]) // never fails: it ends the process instead
	return hex.EncodeToString(b[:])
}

// ParseKey reads a key of exactly 64 hex characters. Its errors do not quote
// them.
func ParseKey(text string) (Key, error) {
	if len(text) != 2*keySize {
		return Key{}, fmt.Errorf("a key is %d hex characters, not %d characters", 2*keySize, len(text))
	}
	b := new([keySize]byte)
	if _, err := hex.Decode(b[:], []byte(text)); err != nil {
		return Key{}, fmt.Errorf("a key is %d hex characters: there are others in it", 2*keySize)
	}
	if *b == [keySize]byte{} {
		return Key{}, errors.New("a key of zeros is none")
	}
	return Key{func() *[keySize]byte { return b }}, nil
}

// IsZero reports whether k is no key at all.
func (k Key) IsZero() bool { return k.bytes == nil }

// ID derives the id of k. Two keys with one id cannot be found, so the id in a
// sealed value commits to the key that it was sealed with.
func (k Key) ID() KeyID {
	if k.IsZero() {
		return KeyID{}
	}
	id, err := hkdf.Key(sha256.New, k.bytes()[:], nil, labelKeyID, len(KeyID{}))
	if err != nil {
		// Only lengths could be wrong, and they are constants.
		panic(fmt.Sprintf("envelope: derive a key id: %v", err))
	}
	return KeyID(id)
}

// String returns ***.
func (k Key) String() string { return masked }

// GoString returns ***.
func (k Key) GoString() string { return masked }

// Format prints *** for every verb.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, masked) }

// MarshalText returns ***, also for JSON and TOML.
func (k Key) MarshalText() ([]byte, error) { return []byte(masked), nil }

// LogValue returns *** for log/slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(masked) }

// A KeyID names a key without giving anything of it away. It stands in clear in
// every sealed value.
type KeyID [16]byte

// String returns the id as 32 hex characters.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText returns what String returns.
func (id KeyID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }
