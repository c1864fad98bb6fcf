package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"rrhost/audit/internal/trail"
	"rrhost/internal/envelope"
	"rrhost/internal/wire"
)

// The types of rows.
const (
	TypeRequest    = trail.Request
	TypeResponse   = trail.Response
	TypeDeadLetter = trail.DeadLetter
	// TypeGap marks offsets that Kafka dropped before they were stored.
	TypeGap = trail.Gap
)

// StatusNoOutcome is the status of a request that is past its deadline without
// an outcome in a trail that is complete beyond it. It is computed when a row
// is read; no record carries it.
const StatusNoOutcome = "no_outcome"

// A Row is one record of the log: a request, a response or a dead letter; or a
// gap, which says that there is none. As JSON it has the names of the command
// line, the payload sealed.
type Row struct {
	// RequestID is empty for a gap, and for a malformed record without one.
	RequestID string `json:"request_id"`
	// Time is the record's, as the broker gave it (or, on a topic whose records
	// carry the sender's time, the sender). An unbelievable one is replaced by
	// what its neighbours suggest.
	Time time.Time `json:"timestamp"`
	// RecordTime is the record's time whether to be believed or not.
	RecordTime time.Time `json:"record_timestamp"`
	// SentMS is a request's, in Unix milliseconds on the requester's clock.
	SentMS int64  `json:"sent_ms,omitempty"`
	Type   string `json:"type"`
	// Topic, Partition and Offset are the record's place in Kafka. Of a gap,
	// Offset is the first that is missing and GapEnd the first after it that
	// isn't.
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	GapEnd    int64  `json:"gap_end,omitempty"`
	// RequestTopic is the topic of the request, also for its outcome.
	RequestTopic string `json:"request_topic"`
	// Key is the Kafka key. Nil and empty differ.
	Key            []byte `json:"key,omitempty"`
	ReplyTo        string `json:"reply_to,omitempty"`
	ReplyPartition int32  `json:"reply_partition,omitempty"`
	TimeoutMS      int64  `json:"timeout_ms,omitempty"`
	// Success is false for what went wrong: an outcome other than ok, a
	// malformed record, a gap, a request without an outcome.
	Success bool `json:"success"`
	// Status is an outcome's; "malformed" for a record that cannot be read;
	// [StatusNoOutcome]; else empty.
	Status string `json:"status,omitempty"`
	// Error is the status again, unless error_text is "plain": then the
	// handler's message. A reader with a key has that from [Row.Open].
	Error      string `json:"error,omitempty"`
	DurationMS int64  `json:"duration_ms,omitempty"`
	// Attempt is how many times the host tried the handler.
	Attempt     int    `json:"attempt,omitempty"`
	Plugin      string `json:"plugin,omitempty"`
	Traceparent string `json:"traceparent,omitempty"`
	Tracestate  string `json:"tracestate,omitempty"`
	// KeyID is of the key that opens Payload, in hex.
	KeyID string `json:"key_id,omitempty"`
	// Payload is sealed, as it was on the wire. Rows of [Reader.ByTime] have it
	// only if asked for. Cassandra has none of more than 8 MiB, or than its
	// nodes take: those are in Kafka alone.
	Payload []byte `json:"payload_sealed,omitempty"`
}

// An ErrorBody is what a response other than ok carries.
type ErrorBody = wire.ErrorBody

// ErrNoPayload is returned by [Row.Open] for rows that have nothing to open.
var ErrNoPayload = errors.New("row has no payload")

// Open opens the row's payload with one of ring's keys. The seal is bound to
// the row's fields: it opens only if they are what was sent. Of a response other
// than ok, body is what is in payload; else it is nil.
func (r *Row) Open(ring *envelope.Ring) (payload []byte, body *ErrorBody, err error) {
	if len(r.Payload) == 0 {
		return nil, nil, ErrNoPayload
	}
	payload, err = ring.Open(nil, r.Payload, (*trail.Row)(r).About())
	if err != nil {
		return nil, nil, fmt.Errorf("open %s %s: %w", r.Type, r.RequestID, err)
	}
	if r.Type != TypeResponse || r.Status == string(wire.StatusOK) {
		return payload, nil, nil
	}
	body = new(ErrorBody)
	if err := json.Unmarshal(payload, body); err != nil {
		// Not err itself: it quotes the plaintext.
		return payload, nil, fmt.Errorf("open %s %s: its error is no JSON object", r.Type, r.RequestID)
	}
	return payload, body, nil
}

// deadline is when the requester stops waiting.
func (r *Row) deadline() time.Time { return r.Time.Add(time.Duration(r.TimeoutMS) * time.Millisecond) }

// fromTrail gives rows their public type. That this compiles is what keeps the
// two alike.
func fromTrail(rows []trail.Row) []Row {
	out := make([]Row, len(rows))
	for i := range rows {
		out[i] = Row(rows[i])
	}
	return out
}
