package audit

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"

	"rrhost/audit/internal/trail"
)

// ErrCursor is returned for a cursor that isn't one, or is of another query.
var ErrCursor = errors.New("audit: cursor is not of this query")

// A cursor is where a page ended: version, hash of the query, its end, and the
// last row's place, as base64. It holds no state of the store, and whoever makes
// one up gets no more than what the query gives him anyway.
type cursor struct {
	at   trail.Key
	to   int64 // Unix milliseconds: so that "until now" stays what it was
	hash uint32
}

const (
	cursorVersion = 1
	cursorHead    = 1 + 4 + 8 + 8 + 4 + 8
	maxTopic      = 249 // of Kafka
)

func (c cursor) String() string {
	b := []byte{cursorVersion}
	b = binary.BigEndian.AppendUint32(b, c.hash)
	b = binary.BigEndian.AppendUint64(b, uint64(c.to))
	b = binary.BigEndian.AppendUint64(b, uint64(c.at.Time))
	b = binary.BigEndian.AppendUint32(b, uint32(c.at.Partition))
	b = binary.BigEndian.AppendUint64(b, uint64(c.at.Offset))
	return base64.RawURLEncoding.EncodeToString(append(b, c.at.Topic...))
}

func parseCursor(text string, hash uint32) (cursor, error) {
	if len(text) > base64.RawURLEncoding.EncodedLen(cursorHead+maxTopic) {
		return cursor{}, ErrCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < cursorHead || b[0] != cursorVersion {
		return cursor{}, ErrCursor
	}
	c := cursor{
		hash: binary.BigEndian.Uint32(b[1:]),
		to:   int64(binary.BigEndian.Uint64(b[5:])),
		at: trail.Key{
			Time:      int64(binary.BigEndian.Uint64(b[13:])),
			Partition: int32(binary.BigEndian.Uint32(b[21:])),
			Offset:    int64(binary.BigEndian.Uint64(b[25:])),
			Topic:     string(b[cursorHead:]),
		},
	}
	const latest = 253402300800000 // the year 10000
	if c.hash != hash || c.to < 0 || c.to > latest || c.at.Time < 0 || c.at.Time > latest ||
		c.at.Partition < 0 || c.at.Offset < 0 || strings.ContainsFunc(c.at.Topic, func(r rune) bool { return r < '-' || r > 'z' }) {
		return cursor{}, ErrCursor
	}
	return c, nil
}

// hashOf is of all that must stay the same from page to page. It guards against
// mistakes, not against anybody.
func hashOf(q Range) uint32 {
	b := binary.BigEndian.AppendUint64(nil, uint64(q.From.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(q.To.UnixMilli()))
	if q.Oldest {
		b = append(b, 1)
	}
	return crc32.ChecksumIEEE(append(b, strings.Join([]string{q.Topic, q.Status, q.Type}, "\x00")...))
}
