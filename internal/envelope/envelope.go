// Package envelope seals payloads and opens them again, bound to what they
// belong to. It knows keys and bytes: no Kafka, no headers, no JSON.
//
// A sealed value, version 1, is
//
//	offset  bytes
//	0       1    version, 0x01
//	1       16   key id, derived from the ring key and committing to it
//	17      16   sender salt, drawn by the sending process
//	33      16   IV, random for each value
//	49      n    ciphertext, as long as the plaintext
//	49+n    16   tag
//
// under AES-256-GCM with a key that is HKDF-SHA-256 of the ring key and the
// salt. The caller's about bytes are authenticated with it: a sealed value
// moved to another place does not open there.
//
// Why a salt: SP 800-38D 8.3 allows 2^32 values under one AES key, over all
// processes that hold it. A key of its own for each sending process keeps every
// one of them below that without their knowing of each other.
package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

// Overhead is how many bytes longer a sealed value is than its plaintext.
const Overhead = headSize + tagSize

const (
	version1 = 0x01
	saltSize = 16
	ivSize   = 16
	tagSize  = 16

	idAt   = 1
	saltAt = idAt + len(KeyID{})
	ivAt   = saltAt + saltSize
	// headSize is where the ciphertext begins.
	headSize = ivAt + ivSize
)

// The labels keep the uses of one ring key apart. They are part of version 1:
// changing one changes what opens.
const (
	labelKeyID = "rrhost key id v1"
	labelSeal  = "rrhost seal v1" // HKDF info of the AES key, and first field of the AAD
)

// ErrUndecryptable is all that the outside learns of a sealed value that does
// not open: whether it is too short, of another version, sealed with a key that
// is not in the ring, or altered. Every error of [Ring.Open] is one.
var ErrUndecryptable = errors.New("undecryptable")

// An UnknownKeyError is an [ErrUndecryptable], in the same words, for the one
// cause that a user can mend. The id is no secret: it stands in every value.
type UnknownKeyError struct {
	ID KeyID
}

func (e *UnknownKeyError) Error() string { return ErrUndecryptable.Error() }

// Unwrap makes errors.Is(err, ErrUndecryptable) true.
func (e *UnknownKeyError) Unwrap() error { return ErrUndecryptable }

// IDOf reads the id of the key that sealed was made with, without opening it.
// It reports false for what is not a sealed value of a known version. The id
// proves nothing before the value has been opened.
func IDOf(sealed []byte) (KeyID, bool) {
	if !wellFormed(sealed) {
		return KeyID{}, false
	}
	return KeyID(sealed[idAt:saltAt]), true
}

// wellFormed reports whether sealed has the length and version of a value that
// is worth a look at its key id.
func wellFormed(sealed []byte) bool {
	return len(sealed) >= Overhead && sealed[0] == version1
}

// deriveAEAD makes the AEAD of one sender of one ring key. It fails only where
// Go runs FIPS 140 only, which forbids 16-byte IVs.
func deriveAEAD(key *[keySize]byte, salt []byte) (cipher.AEAD, error) {
	aesKey, err := hkdf.Key(sha256.New, key[:], salt, labelSeal, keySize)
	if err != nil {
		return nil, fmt.Errorf("derive a sender key: %w", err)
	}
	defer clear(aesKey)
	return newAEAD(aesKey)
}

// newAEAD is AES-256-GCM as version 1 uses it. Published test cases run
// against this function.
func newAEAD(aesKey []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(aesKey)
	if err != nil {
		return nil, fmt.Errorf("make a sender key: %w", err)
	}
	aead, err := cipher.NewGCMWithNonceSize(block, ivSize)
	if err != nil {
		return nil, fmt.Errorf("make a sender key: %w", err)
	}
	return aead, nil
}

// appendAAD appends what a value's tag covers beside its ciphertext: label,
// then version to salt, each after its length as four bytes, big endian, and
// then about as it is. The IV is not in it, GCM covers that by itself.
func appendAAD(dst, head, about []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(labelSeal)))
	dst = append(dst, labelSeal...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(ivAt))
	dst = append(dst, head[:ivAt]...)
	return append(dst, about...)
}

// aadPool lends scratch space for the AAD, which would otherwise be the only
// allocation of a Seal or Open. It never holds plaintext.
var aadPool = sync.Pool{New: func() any {
	b := make([]byte, 0, 512)
	return &b
}}

// maxPooledAAD keeps one huge about from staying in the pool.
const maxPooledAAD = 16 << 10

// borrowAAD makes the AAD for head and about; it goes back with returnAAD.
func borrowAAD(head, about []byte) *[]byte {
	p := aadPool.Get().(*[]byte)
	*p = appendAAD((*p)[:0], head, about)
	return p
}

func returnAAD(p *[]byte) {
	if cap(*p) <= maxPooledAAD {
		aadPool.Put(p)
	}
}
