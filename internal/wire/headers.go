package wire

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/IBM/sarama"
)

// A field is a header of ours, found or not.
type field struct {
	value []byte
	count int
}

func (f *field) present() bool { return f.count > 0 }

// only is the value if the header is there once.
func (f *field) only() ([]byte, bool) { return f.value, f.count == 1 }

// withinBounds checks count and size of all headers, before anything else is
// done with them.
func withinBounds(headers []*sarama.RecordHeader, maxCount, maxBytes int) error {
	if len(headers) > maxCount { // without looking at each
		return bounded(len(headers), 0, maxCount, maxBytes)
	}
	size := 0
	for _, h := range headers {
		if h == nil {
			return fmt.Errorf("%w have a hole", ErrHeaders)
		}
		size += len(h.Key) + len(h.Value)
	}
	return bounded(len(headers), size, maxCount, maxBytes)
}

func bounded(count, size, maxCount, maxBytes int) error {
	switch {
	case count > maxCount:
		return fmt.Errorf("%w are too many", ErrHeaders)
	case size > maxBytes:
		return fmt.Errorf("%w are too large", ErrHeaders)
	}
	return nil
}

// collect finds the headers that slot knows and lets strangers pass.
func collect(headers []*sarama.RecordHeader, slot func(name []byte) int, into []field) {
	for _, h := range headers {
		if i := slot(h.Key); i >= 0 {
			into[i].value = h.Value
			into[i].count++
		}
	}
}

// oneEach reports the first header that is there twice, or there and empty,
// which none of ours may be.
func oneEach(fields []field, names []string) error {
	for i := range fields {
		switch {
		case fields[i].count > 1:
			return malformed(names[i], "comes twice")
		case fields[i].count == 1 && len(fields[i].value) == 0:
			return malformed(names[i], "is empty")
		}
	}
	return nil
}

// text is a string to be made of a header's value.
type text struct {
	to    *string
	value []byte
}

// texts copies all values at once: one allocation for a record instead of one
// for each header.
func texts(list ...text) {
	size := 0
	for _, t := range list {
		size += len(t.value)
	}
	var all strings.Builder
	all.Grow(size)
	for _, t := range list {
		start := all.Len()
		all.Write(t.value)
		*t.to = all.String()[start:]
	}
}

// RequestIDOf returns the request id of a record without reading the rest of
// it, or nil if there is no canonical one within the bounds of decoding. The
// result is the header's own bytes.
//
// It is for replies to others, which are most of what a requester receives, and
// for records that are malformed otherwise.
func RequestIDOf(headers []*sarama.RecordHeader) []byte {
	for _, h := range headers[:min(len(headers), MaxHeaders)] {
		if h != nil && string(h.Key) == HeaderRequestID {
			if !validID(h.Value) {
				return nil
			}
			return h.Value
		}
	}
	return nil
}

// IsPing tells whether a record asks to be a ping, without reading the rest of
// it: it may be malformed, or sealed by nobody.
func IsPing(headers []*sarama.RecordHeader) bool {
	for _, h := range headers[:min(len(headers), MaxHeaders)] {
		if h != nil && string(h.Key) == HeaderOp {
			return string(h.Value) == OpPing
		}
	}
	return false
}

// A headerWriter makes headers with two allocations: the list, and one buffer
// for all values.
type headerWriter struct {
	list []sarama.RecordHeader
	text []byte
}

func newHeaderWriter(count, bytes int) headerWriter {
	return headerWriter{make([]sarama.RecordHeader, 0, count), make([]byte, 0, bytes)}
}

// add takes the header's name as bytes that all records share and nobody
// writes to.
func (w *headerWriter) add(name []byte, value string) {
	start := len(w.text)
	w.text = append(w.text, value...)
	w.finish(name, start)
}

func (w *headerWriter) addNumber(name []byte, value int64) {
	start := len(w.text)
	w.text = strconv.AppendInt(w.text, value, 10)
	w.finish(name, start)
}

func (w *headerWriter) finish(name []byte, start int) {
	w.list = append(w.list, sarama.RecordHeader{Key: name, Value: w.text[start:len(w.text):len(w.text)]})
}

// numberBytes bounds the text of one number.
const numberBytes = 20

// absent is the length that stands for a field that is not there, which is
// something else than an empty one.
const absent = 0xFFFFFFFF

// appendField appends one bound field: its length as four bytes, big endian,
// and its bytes.
func appendField[T string | []byte](dst []byte, value T) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
	return append(dst, value...)
}

// appendAbsent appends a bound field that is not there.
func appendAbsent(dst []byte) []byte { return binary.BigEndian.AppendUint32(dst, absent) }

// appendOptional is for headers, which are not there when they are empty.
func appendOptional(dst []byte, value string) []byte {
	if value == "" {
		return appendAbsent(dst)
	}
	return appendField(dst, value)
}

// appendKey is for the Kafka key, where null and empty differ.
func appendKey(dst, key []byte) []byte {
	if key == nil {
		return appendAbsent(dst)
	}
	return appendField(dst, key)
}

// appendNumber appends a number as its text.
func appendNumber(dst []byte, n int64) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = strconv.AppendInt(dst, n, 10)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}
