package envelope

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
)

// A Ring seals with one key and opens with any of its keys. To change keys
// without a gap: add the new one everywhere to open with, then make it the
// active one, then retire the old one. A Ring is safe for concurrent use.
type Ring struct {
	keys   []ringKey // the active one first
	sender *sender
	opened *aeadCache
}

// ringKey is a key with its id, which is derived once.
type ringKey struct {
	key Key
	id  KeyID
}

// NewRing makes a ring that seals with active and opens with it and openOnly.
// A zero key, one that comes twice, and Go in FIPS 140 only mode, which forbids
// 16-byte IVs, are errors.
func NewRing(active Key, openOnly ...Key) (*Ring, error) {
	return newRing(defaultLimits, cacheSize, active, openOnly)
}

func newRing(l limits, cached int, active Key, openOnly []Key) (*Ring, error) {
	r := &Ring{opened: newAEADCache(cached)}
	for _, k := range slices.Concat([]Key{active}, openOnly) {
		if k.IsZero() {
			return nil, errors.New("make a key ring: a key is missing")
		}
		id := k.ID()
		if _, twice := r.find(id); twice {
			return nil, fmt.Errorf("make a key ring: key %s comes twice", id)
		}
		r.keys = append(r.keys, ringKey{k, id})
	}
	var err error
	if r.sender, err = newSender(active, l); err != nil {
		return nil, fmt.Errorf("make a key ring: %w", err)
	}
	return r, nil
}

// ActiveID returns the id of the key that r seals with.
func (r *Ring) ActiveID() KeyID { return r.keys[0].id }

// Seal appends plain, sealed and bound to about, to dst and returns the longer
// slice. It adds len(plain) + [Overhead] bytes and allocates nothing when dst
// has room for them. plain must not overlap with that room. An empty plain, or
// about, is sealed like any other.
func (r *Ring) Seal(dst, plain, about []byte) []byte {
	life := r.sender.take(len(plain) + len(about) + Overhead)
	dst, head := r.appendHead(dst, len(plain), life.salt[:])
	rand.Read(head[ivAt:])
	return seal(dst, head, life.aead, plain, about)
}

// appendHead appends version, key id and salt to dst, leaves the IV to the
// caller, and sees to it that dst has room for the rest. head is the part of
// dst that it appended.
func (r *Ring) appendHead(dst []byte, plainSize int, salt []byte) (whole, head []byte) {
	dst = slices.Grow(dst, plainSize+Overhead)
	start := len(dst)
	dst = dst[:start+headSize]
	head = dst[start:]
	head[0] = version1
	copy(head[idAt:], r.keys[0].id[:])
	copy(head[saltAt:], salt)
	return dst, head
}

// seal appends ciphertext and tag to dst, which ends with head.
func seal(dst, head []byte, aead cipher.AEAD, plain, about []byte) []byte {
	aad := borrowAAD(head, about)
	defer returnAAD(aad)
	return aead.Seal(dst, head[ivAt:], plain, *aad)
}

// Open appends the plaintext of sealed to dst and returns the longer slice. It
// allocates nothing when dst has room, beyond what the first value from a
// sender costs. sealed must not overlap with that room and is not changed.
//
// Every error is an [ErrUndecryptable], and dst is then unchanged up to its
// length. [UnknownKeyError] tells the one cause that a hint can help with.
func (r *Ring) Open(dst, sealed, about []byte) ([]byte, error) {
	if !wellFormed(sealed) {
		return dst, ErrUndecryptable
	}
	id := KeyID(sealed[idAt:saltAt])
	key, ok := r.find(id)
	if !ok {
		return dst, &UnknownKeyError{ID: id}
	}

	sender := senderID(sealed[idAt:ivAt])
	aead, cached := r.opened.get(&sender)
	if !cached {
		var err error
		if aead, err = deriveAEAD(key.bytes(), sealed[saltAt:ivAt]); err != nil {
			return dst, ErrUndecryptable
		}
	}
	aad := borrowAAD(sealed, about)
	defer returnAAD(aad)
	out, err := aead.Open(dst, sealed[ivAt:headSize], sealed[headSize:], *aad)
	if err != nil {
		return dst, ErrUndecryptable
	}
	if !cached {
		// Only now: who does not hold the key cannot fill the cache.
		r.opened.put(&sender, aead)
	}
	return out, nil
}

// find returns the key with the given id. It looks at every key and at every
// byte, so that its time tells nothing of which keys there are.
func (r *Ring) find(id KeyID) (Key, bool) {
	at := -1
	for i := range r.keys {
		same := subtle.ConstantTimeCompare(r.keys[i].id[:], id[:])
		at = subtle.ConstantTimeSelect(same, i, at)
	}
	if at < 0 {
		return Key{}, false
	}
	return r.keys[at].key, true
}
