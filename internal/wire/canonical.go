package wire

import (
	"math"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of numbers on the wire. They leave no room for overflow in Go's types,
// nor, but for offsets, in the 53 bits that other languages have for whole
// numbers.
const (
	// MaxTimeout is the longest that a requester may wait. A topic's own
	// timeout bounds it further.
	MaxTimeout = 24 * time.Hour

	maxTimeoutMS  = int64(MaxTimeout / time.Millisecond)
	maxUnixMS     = 253_402_300_799_999 // the end of year 9999
	maxPartition  = math.MaxInt32
	maxOffset     = math.MaxInt64
	maxAttempt    = math.MaxInt32
	maxDurationMS = math.MaxInt32
)

// maxTopic is the longest name of a topic that Kafka takes.
const maxTopic = 249

// parseDecimal reads a whole number of 0 to most in its only spelling: digits,
// the first of which is 0 only in "0".
func parseDecimal(b []byte, most int64) (int64, bool) {
	if len(b) == 0 || len(b) > 19 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var n uint64 // 19 digits fit
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return int64(n), n <= uint64(most)
}

// ValidID reports whether id is a request id: a UUID of version 4 in lower
// case with hyphens, and nothing around it.
func ValidID(id string) bool { return validID(id) }

func validID[T string | []byte](id T) bool {
	if len(id) != 36 {
		return false
	}
	for i := 0; i < len(id); i++ {
		c := id[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		case 14:
			if c != '4' {
				return false
			}
		case 19:
			if c != '8' && c != '9' && c != 'a' && c != 'b' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

// ValidTopic reports whether Kafka would take name for a topic.
func ValidTopic(name string) bool { return validTopic(name) }

func validTopic[T string | []byte](name T) bool {
	if len(name) == 0 || len(name) > maxTopic || string(name) == "." || string(name) == ".." {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// maxTrace is the longest trace header, in bytes. A reply repeats both of its
// request's, and must keep below MaxHeaderBytes with its own headers.
const maxTrace = 2048

// validTrace reports whether s can be a trace header: visible ASCII and
// spaces. What it means is the tracer's business.
func validTrace[T string | []byte](s T) bool {
	if len(s) > maxTrace {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) > 0
}

// maxPlugin is the longest plugin header, in bytes.
const maxPlugin = 256

// validPlugin reports whether s can be a plugin header: UTF-8 that prints, so
// that it can stand in logs and tables as it is.
func validPlugin(s []byte) bool {
	if len(s) == 0 || len(s) > maxPlugin {
		return false
	}
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			return false
		}
		s = s[size:]
	}
	return true
}

// PluginText makes the plugin header's value of a plugin's name and version:
// "name version", with _ for what does not print, cut where it is too long.
func PluginText(name, version string) string {
	text := name
	if version != "" {
		text += " " + version
	}
	clean := make([]byte, 0, len(text))
	for _, r := range text {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = '_'
		}
		if len(clean)+utf8.RuneLen(r) > maxPlugin {
			break
		}
		clean = utf8.AppendRune(clean, r)
	}
	return string(clean)
}

// wholeMS is d in whole milliseconds as they stand on the wire, 0 to most.
func wholeMS(d time.Duration, most int64) int64 {
	return min(max(d.Milliseconds(), 0), most)
}
