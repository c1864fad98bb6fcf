package envelope

import (
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
)

// limits bound the use of one salt, and with it of one AES key.
type limits struct {
	values uint64
	bytes  uint64 // sealed bytes and what they are bound to
}

// defaultLimits are half of what SP 800-38D 8.3 allows (2^32 values), and half
// of where the chance that two counter blocks meet leaves 2^-41 (2^48 bytes).
var defaultLimits = limits{values: 1 << 31, bytes: 1 << 47}

// A sender draws the salts that a ring seals with: one at its start, and
// another whenever one has been used up.
type sender struct {
	key    Key
	limits limits
	life   atomic.Pointer[senderLife]
	rollMu sync.Mutex // one goroutine draws the next salt
}

// senderLife is the time that one salt is in use.
type senderLife struct {
	salt   [saltSize]byte
	aead   cipher.AEAD
	values atomic.Uint64
	bytes  atomic.Uint64
}

func newSender(key Key, l limits) (*sender, error) {
	s := &sender{key: key, limits: l}
	life, err := s.newLife()
	if err != nil {
		return nil, err
	}
	s.life.Store(life)
	return s, nil
}

func (s *sender) newLife() (*senderLife, error) {
	life := new(senderLife)
	rand.Read(life.salt[:])
	var err error
	life.aead, err = deriveAEAD(s.key.bytes(), life.salt[:])
	return life, err
}

// take returns a salt with room for one more value of size bytes, counted.
func (s *sender) take(size int) *senderLife {
	for {
		life := s.life.Load()
		if life.count(uint64(size), s.limits) {
			return life
		}
		s.roll(life)
	}
}

// count reports whether one more value may be sealed. The first one always may,
// so that a value over the limit by itself gets a salt to itself. What is
// refused stays counted, which only ends a used-up life again.
func (l *senderLife) count(size uint64, limit limits) bool {
	values := l.values.Add(1)
	bytes := l.bytes.Add(size)
	return values == 1 || values <= limit.values && bytes <= limit.bytes
}

// roll replaces the used-up life, unless another goroutine has done so.
func (s *sender) roll(used *senderLife) {
	s.rollMu.Lock()
	defer s.rollMu.Unlock()
	if s.life.Load() != used {
		return
	}
	life, err := s.newLife()
	if err != nil {
		// It worked when the ring was made, and nothing since can have
		// changed that. Sealing on with the old salt is no choice.
		panic(fmt.Sprintf("envelope: draw a new salt: %v", err))
	}
	s.life.Store(life)
}
