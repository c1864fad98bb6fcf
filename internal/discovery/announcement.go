// Package discovery is what hosts tell requesters about themselves. Each host
// announces on the control topic what it serves; whoever reads the topic from its
// beginning knows all hosts, without asking any.
//
// Announcements are plain JSON, and anybody who may write to the topic can write
// some. Nothing is decided by them but what is shown, and whether a request that
// nobody would answer fails early. docs/wire.md has the format.
package discovery

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rrhost/config"
	"rrhost/internal/wire"
)

const (
	// Period is how often a host announces itself, where nothing changes.
	Period = 30 * time.Second
	// Lifetime is how long an announcement counts: three times Period, so that
	// one may be lost or late, and a host have been started again, before its
	// topics are taken for unserved.
	Lifetime = 3 * Period
)

// Bounds of an announcement. A host stays within them by leaving schemas out;
// what is beyond is not decoded.
const (
	MaxBytes  = 512 << 10 // as JSON
	MaxTopics = config.MaxTopics
	maxText   = 256     // bytes of any name
	maxCount  = 1 << 50 // of all hosts together it does not overflow
	// maxTimeoutMS is far beyond what a configuration may say, and still a Duration.
	maxTimeoutMS = 1 << 42
)

// format is the version of the JSON. Members that a reader does not know are
// passed over; only what changes their meaning makes another version.
const format = 1

// An Announcement is what one host serves.
type Announcement struct {
	Format int `json:"format"` // set by Encode
	// Host is the id of one life of a host, a UUID v4, and the record's key.
	Host string `json:"host"`
	// Name is of the machine.
	Name    string  `json:"name"`
	Group   string  `json:"group"`
	Started int64   `json:"started_ms"` // Unix milliseconds
	Topics  []Topic `json:"topics"`
	// NoSchemas: some were left out, since all would have been too much.
	NoSchemas bool `json:"no_schemas,omitempty"`
}

// A Topic is a request topic that a host serves.
type Topic struct {
	Name    string `json:"name"`
	Plugin  string `json:"plugin"`            // its name
	Version string `json:"version,omitempty"` // of the plugin; empty before it was known
	SDK     string `json:"sdk,omitempty"`     // what the plugin is made with
	// State is the plugin's, as `rrhost plugin list` has it.
	State string `json:"state"`
	// Handler is who gets the requests; empty while that is not known.
	Handler   string `json:"handler,omitempty"`
	TimeoutMS int64  `json:"timeout_ms"` // the longest a request may take
	// Request and Response are JSON Schemas, where the handler has some.
	Request  json.RawMessage `json:"request_schema,omitempty"`
	Response json.RawMessage `json:"response_schema,omitempty"`
	Counters Counters        `json:"counters"`
}

// Counters are numbers of one topic at one host. A change of theirs alone is not
// announced before its time.
type Counters struct {
	// Answered counts acknowledged replies by status, since the host's start.
	Answered map[string]int64 `json:"answered,omitempty"`
	InFlight int              `json:"in_flight"`
	Waiting  int              `json:"waiting"`
	// Partitions are those of the topic that the host has.
	Partitions []int32 `json:"partitions,omitempty"`
}

// Encode returns a as JSON, without schemas where they are too much: the largest
// go first, so that one plugin does not take the others' along. Where that is not
// enough, what only people want to know of each topic is left out too.
func (a Announcement) Encode() ([]byte, error) {
	if len(a.Topics) > MaxTopics {
		return nil, fmt.Errorf("%d topics are too many for one announcement, which may have %d", len(a.Topics), MaxTopics)
	}
	a.Format = format
	b, err := json.Marshal(a)
	if err != nil || len(b) <= MaxBytes {
		return b, err
	}
	a.NoSchemas, a.Topics = true, slices.Clone(a.Topics)
	type part struct {
		schema *json.RawMessage
		size   int // encoded: escaping makes it longer
	}
	var parts []part
	for i := range a.Topics {
		for _, schema := range []*json.RawMessage{&a.Topics[i].Request, &a.Topics[i].Response} {
			if *schema == nil {
				continue
			}
			encoded, err := json.Marshal(*schema)
			if err != nil {
				return nil, err
			}
			parts = append(parts, part{schema, len(encoded)})
		}
	}
	slices.SortStableFunc(parts, func(x, y part) int { return cmp.Compare(y.size, x.size) })
	for excess := len(b) - MaxBytes; len(parts) > 0 && excess > 0; parts = parts[1:] {
		excess -= parts[0].size
		*parts[0].schema = nil
	}
	if b, err = json.Marshal(a); err != nil {
		return nil, err
	}
	if len(b) > MaxBytes { // a host of this size is to be known at all
		for i := range a.Topics {
			t := &a.Topics[i]
			t.Version, t.SDK, t.Handler, t.Counters.Answered, t.Counters.Partitions = "", "", "", nil, nil
		}
		if b, err = json.Marshal(a); err != nil {
			return nil, err
		}
	}
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("the names alone of %d topics take %d bytes, and an announcement may have %d", len(a.Topics), len(b), MaxBytes)
	}
	return b, nil
}

// ErrAnnouncement is wrapped by every error of [Decode].
var ErrAnnouncement = errors.New("not an announcement")

// Decode reads an announcement from a record's key and value. It takes nothing
// beyond the bounds, and no text that a terminal or a log would not take.
func Decode(key, value []byte) (Announcement, error) {
	wrong := func(what string, args ...any) (Announcement, error) {
		return Announcement{}, fmt.Errorf("%w: %s", ErrAnnouncement, fmt.Sprintf(what, args...))
	}
	if len(value) > MaxBytes {
		return wrong("it has %d bytes and may have %d", len(value), MaxBytes)
	}
	var a Announcement
	if err := json.Unmarshal(value, &a); err != nil {
		return wrong("its JSON is wrong") // err would quote it
	}
	switch {
	case a.Format != format:
		return wrong("its format is %d, and %d is known here", a.Format, format)
	case !wire.ValidID(a.Host) || a.Host != string(key):
		return wrong("host is not the record's key, a UUID v4")
	case len(a.Topics) > MaxTopics:
		return wrong("it has %d topics and may have %d", len(a.Topics), MaxTopics)
	case !plain(a.Name) || !plain(a.Group):
		return wrong("name or group is not text")
	case a.Started < 0:
		return wrong("started_ms is below 0")
	}
	seen := make(map[string]bool, len(a.Topics))
	for i := range a.Topics {
		t := &a.Topics[i]
		if !wire.ValidTopic(t.Name) || seen[t.Name] {
			return wrong("topic %d has no name, or another's", i+1)
		}
		seen[t.Name] = true
		for _, text := range []string{t.Plugin, t.Version, t.SDK, t.State, t.Handler} {
			if !plain(text) {
				return wrong("topic %d: plugin, version, sdk, state or handler is not text", i+1)
			}
		}
		if err := t.Counters.check(); err != nil || t.TimeoutMS < 0 || t.TimeoutMS > maxTimeoutMS {
			return wrong("topic %d: a number is below 0 or too large, or no status", i+1)
		}
	}
	return a, nil
}

func (c *Counters) check() error {
	for status, n := range c.Answered {
		if !wire.Status(status).Valid() || n < 0 || n > maxCount {
			return ErrAnnouncement
		}
	}
	for _, p := range c.Partitions {
		if p < 0 {
			return ErrAnnouncement
		}
	}
	if c.InFlight < 0 || c.Waiting < 0 {
		return ErrAnnouncement
	}
	return nil
}

// plain tells whether text can be shown as it is.
func plain(text string) bool {
	return len(text) <= maxText && utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// Plain makes text one that Decode takes: a machine or plugin may have any name.
func Plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != utf8.RuneError {
			return r
		}
		return '?'
	}, text)
	for len(text) > maxText {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

// A Pong is the body of a host's answer to a ping.
type Pong struct {
	Host    string `json:"host"` // as in an announcement, like the rest
	Name    string `json:"name"`
	Plugin  string `json:"plugin"`
	Version string `json:"version,omitempty"`
	State   string `json:"state"`
	Handler string `json:"handler,omitempty"`
}
