// Package wire is what stands in Kafka: requests, replies and dead letters as
// records, and back. It knows names, canonical forms and bounds; it has no keys
// and leaves every sealed payload as it is.
//
// Decoding takes canonical forms only, so that a decoded value encodes to the
// text it came from. The seal of a payload is bound to that text (see
// [Request.AppendAbout]): two spellings of one number would be two seals.
//
// docs/wire.md describes the same for authors in other languages.
package wire

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds of what is looked at, checked before anything is copied. Strangers'
// headers count too.
const (
	// MaxHeaders is how many headers a record may have.
	MaxHeaders = 64
	// MaxHeaderBytes is how long all names and values may be together.
	MaxHeaderBytes = 8 << 10
)

// Names of record headers. Which kind of record has which is in the slots
// tables of request.go, reply.go and deadletter.go.
const (
	HeaderRequestID      = "request_id"
	HeaderOp             = "op"
	HeaderReplyTo        = "reply_to"
	HeaderReplyPartition = "reply_partition"
	HeaderTimeoutMS      = "timeout_ms"
	HeaderSentMS         = "sent_ms"
	HeaderTopic          = "topic"
	HeaderStatus         = "status"
	HeaderDurationMS     = "duration_ms"
	HeaderAttempt        = "attempt"
	HeaderPlugin         = "plugin"
	HeaderTraceparent    = "traceparent"
	HeaderTracestate     = "tracestate"
	HeaderDLQReason      = "dlq_reason"
	HeaderDLQTopic       = "dlq_topic"
	HeaderDLQPartition   = "dlq_partition"
	HeaderDLQOffset      = "dlq_offset"
	HeaderDLQTS          = "dlq_ts"
	HeaderDLQSHA256      = "dlq_sha256"
)

// Reserved reports whether name is one of the protocol's, in any kind of record: a
// caller's own header may not have it.
func Reserved(name string) bool {
	return requestSlot([]byte(name)) >= 0 || replySlot([]byte(name)) >= 0 || strings.HasPrefix(name, "dlq_")
}

// OpPing is the op that asks whether a topic is served. The host answers it by
// itself: no plugin sees it.
const OpPing = "ping"

// ErrMalformed is what every error of decoding is. Their texts name the header
// at fault and never quote a value.
var ErrMalformed = errors.New("malformed")

// ErrHeaders is what errors about the number and length of headers are, beside
// ErrMalformed.
var ErrHeaders = fmt.Errorf("%w: headers", ErrMalformed)

func malformed(header, problem string) error {
	return fmt.Errorf("%w: %s %s", ErrMalformed, header, problem)
}

// What several headers can have wrong with them.
const (
	idProblem        = "is not a UUID v4 in lower case"
	opProblem        = "is unknown"
	topicProblem     = "is not the name of a topic"
	partitionProblem = "is not the number of a partition"
	timeoutProblem   = "is not a whole number of 1 to 86400000"
	sentProblem      = "is not a time in Unix milliseconds"
	traceProblem     = "is not plain text, or too long"
	pairProblem      = "and reply_to come only together"
)
