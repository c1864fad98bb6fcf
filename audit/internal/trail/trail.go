// Package trail is what the audit stores have in common: the row that is
// stored, where reading Kafka goes on, and the question of a range query.
package trail

import (
	"cmp"
	"time"
)

// Kinds of rows, as they stand in a store.
const (
	Request    = "request"
	Response   = "response"
	DeadLetter = "dead_letter"
	Gap        = "gap" // offsets that Kafka dropped before they were read
)

// MaxRowsByID bounds what a lookup by request id returns: an id that somebody
// repeats without end must not fill the reader's memory.
const MaxRowsByID = 1000

// A Row is one record of the log as it is stored. audit.Row has the same
// fields and says what they mean; the compiler holds the two together.
type Row struct {
	RequestID      string
	Time           time.Time
	RecordTime     time.Time
	SentMS         int64
	Type           string
	Topic          string
	Partition      int32
	Offset         int64
	GapEnd         int64
	RequestTopic   string
	Key            []byte
	ReplyTo        string
	ReplyPartition int32
	TimeoutMS      int64
	Success        bool
	Status         string
	Error          string
	DurationMS     int64
	Attempt        int
	Plugin         string
	Traceparent    string
	Tracestate     string
	KeyID          string
	Payload        []byte
}

// At is the row's place in a range.
func (r *Row) At() Key {
	return Key{Time: r.Time.UnixMilli(), Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
}

// Outcome says whether the row ends its request.
func (r *Row) Outcome() bool { return r.Type == Response || r.Type == DeadLetter }

// Size is about what the row takes in memory, in bytes.
func (r *Row) Size() int {
	return 400 + len(r.Payload) + len(r.Key) + len(r.Error) + len(r.Tracestate)
}

// A Key is a place in a range: rows are ordered by time, then by where they
// stand in Kafka. One without a topic stands before all rows of its time.
type Key struct {
	Time      int64 // Unix milliseconds
	Topic     string
	Partition int32
	Offset    int64
}

// Compare orders keys: -1, 0 or 1.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Time, o.Time), cmp.Compare(k.Topic, o.Topic),
		cmp.Compare(k.Partition, o.Partition), cmp.Compare(k.Offset, o.Offset))
}

// A Position is how far one partition has been read.
type Position struct {
	Topic string
	// Partition is [NoPartition] for a topic that does not exist.
	Partition int32
	// Next is the offset after the last one stored.
	Next int64
	// Start is where reading goes on: Next, or before it where the store may
	// lose what it has acknowledged. A store computes it; Write ignores it.
	Start int64
	// RecordTime is the latest believable time of a stored record.
	RecordTime time.Time
	// Complete is the time before which every record of the partition is
	// stored. Zero: not known.
	Complete time.Time
}

// NoPartition is the partition of the position of a topic that is not there:
// its Complete says when that was last seen.
const NoPartition int32 = -1

// A Query asks for rows by time.
type Query struct {
	From, To time.Time // From <= row < To
	Oldest   bool      // oldest first; else newest first
	// After is where the page before ended: only rows beyond it, in the asked
	// order. Nil: from the start.
	After *Key
	// Topic is the request topic. Gaps of topics that serve several request
	// topics match any.
	Topic  string
	Status string
	Type   string
	Limit  int // at least 1
	// Payloads asks for whole rows. Else what a store keeps apart is left out:
	// payload, Kafka key, reply address and trace context.
	Payloads bool
}

// Matches says whether a row passes the query's filters.
func (q *Query) Matches(r *Row) bool {
	if q.Type != "" && q.Type != r.Type || q.Status != "" && q.Status != r.Status {
		return false
	}
	return q.Topic == "" || q.Topic == r.RequestTopic || r.Type == Gap && r.RequestTopic == ""
}

// A Page is a part of a query's answer.
type Page struct {
	Rows []Row
	// Next is where to go on; nil: the range is exhausted. A page may be short,
	// or empty, and yet have more after it: a call does bounded work.
	Next *Key
}
