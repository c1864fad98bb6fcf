package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"rrhost/internal/kafka"
	"rrhost/internal/wire"
)

// Status is the outcome of a request, as the host tells it.
type Status = wire.Status

// The statuses of replies.
const (
	StatusOK                = wire.StatusOK
	StatusHandlerError      = wire.StatusHandlerError
	StatusExpired           = wire.StatusExpired
	StatusDeadlineExceeded  = wire.StatusDeadlineExceeded
	StatusInvalidPayload    = wire.StatusInvalidPayload
	StatusPluginUnavailable = wire.StatusPluginUnavailable
	StatusPluginCrashed     = wire.StatusPluginCrashed
	StatusNoHandler         = wire.StatusNoHandler
	StatusUndecryptable     = wire.StatusUndecryptable
	StatusMalformed         = wire.StatusMalformed
	StatusReplyTooLarge     = wire.StatusReplyTooLarge
)

var (
	// ErrClosed is wrapped by the errors of calls that Close ended, and of
	// those made after it.
	ErrClosed = errors.New("client is closed")
	// ErrTooLarge is wrapped by the [SendError] of a request that is larger
	// than host.max_payload or its topic allows. It was not written.
	ErrTooLarge = kafka.ErrTooLarge
	// ErrNoTopic is wrapped by the [SendError] of a request to a topic that
	// does not exist. It was not sent.
	ErrNoTopic = kafka.ErrNoTopic
	// ErrNotServed is wrapped by the [SendError] of a request to a topic that no
	// host has announced, see [WithFailFast]. It was not sent.
	ErrNotServed = errors.New("no host has announced topic")
	// ErrMalformed is wrapped by the [SendError] of a request that a host would
	// refuse as malformed. It was not sent.
	ErrMalformed = wire.ErrMalformed
)

// A TimeoutError means that no result came in time. The handler may have run,
// or may run still. It is a context.DeadlineExceeded to errors.Is.
type TimeoutError struct {
	RequestID string
	Topic     string
	// After is how long the call waited.
	After time.Duration
	// Status is expired or deadline_exceeded if the host answered so, and
	// empty if nobody answered.
	Status Status
	// Acknowledged is whether Kafka had taken the request when the time was
	// over.
	Acknowledged bool
	// Hint says what to look at, if the client noticed something.
	Hint string
}

func (e *TimeoutError) Error() string {
	what := "no reply"
	switch {
	case e.Status == StatusExpired:
		what = "expired before it started"
	case e.Status == StatusDeadlineExceeded:
		what = "its time was over while it ran"
	case !e.Acknowledged:
		what = "Kafka did not take the request in time, no reply"
	}
	text := fmt.Sprintf("call %s, request %s: %s after %s", e.Topic, e.RequestID, what, e.After.Round(time.Millisecond))
	return withHint(text, e.Hint)
}

// Is makes it a context.DeadlineExceeded.
func (e *TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// Timeout reports true, as of a net.Error.
func (e *TimeoutError) Timeout() bool { return true }

// A HandlerError is what the handler answered instead of a result. Asking again
// gives the same answer unless its author says otherwise.
type HandlerError struct {
	RequestID string
	Topic     string
	// Code is the author's own, such as "no_such_account".
	Code    string
	Message string
	// Details is any JSON, if the author gave some.
	Details json.RawMessage
}

func (e *HandlerError) Error() string {
	return fmt.Sprintf("call %s, request %s: %s: %s", e.Topic, e.RequestID, e.Code, e.Message)
}

// A RejectedError means that the host did not get a result from the handler.
type RejectedError struct {
	RequestID string
	Topic     string
	Status    Status
	Message   string
	Details   json.RawMessage
	// Authenticated is whether the host proved that it said so. Where it could
	// not open or read the request, it cannot prove anything, and whoever may
	// write to the reply topic can say the same.
	Authenticated bool
	// Hint says what to do about it.
	Hint string
}

func (e *RejectedError) Error() string {
	text := fmt.Sprintf("call %s, request %s: %s", e.Topic, e.RequestID, e.Status)
	if e.Message != "" {
		text += ": " + e.Message
	}
	if !e.Authenticated {
		text += " (not authenticated)"
	}
	return withHint(text, e.Hint)
}

// A SendError means that Kafka did not acknowledge the request. Unless it wraps
// [ErrTooLarge], [ErrMalformed], [ErrNoTopic] or [ErrNotServed] it may have been
// written all the same.
type SendError struct {
	RequestID string
	Topic     string
	Err       error
}

func (e *SendError) Error() string {
	return fmt.Sprintf("call %s, request %s: send: %v", e.Topic, e.RequestID, e.Err)
}

// Unwrap returns the cause.
func (e *SendError) Unwrap() error { return e.Err }

func withHint(text, hint string) string {
	if hint == "" {
		return text
	}
	return text + " (hint: " + hint + ")"
}

// StatusOf is the status that err stands for: ok for nil, empty for an error
// that is not an answer of the host, such as a timeout without reply.
func StatusOf(err error) Status {
	var (
		handler  *HandlerError
		rejected *RejectedError
		timeout  *TimeoutError
	)
	switch {
	case err == nil:
		return StatusOK
	case errors.As(err, &handler):
		return StatusHandlerError
	case errors.As(err, &rejected):
		return rejected.Status
	case errors.As(err, &timeout):
		return timeout.Status
	}
	return ""
}

// errorOf is the error that a reply other than ok stands for.
func errorOf(r *Reply, waited time.Duration) error {
	var body wire.ErrorBody
	if len(r.Payload) > 0 {
		if err := json.Unmarshal(r.Payload, &body); err != nil {
			return fmt.Errorf("call %s, request %s: %s with a body that cannot be read: %w", r.Topic, r.RequestID, r.Status, err)
		}
	}
	switch r.Status {
	case StatusHandlerError:
		return &HandlerError{RequestID: r.RequestID, Topic: r.Topic, Code: body.Code, Message: body.Message, Details: body.Details}
	case StatusExpired, StatusDeadlineExceeded:
		return &TimeoutError{RequestID: r.RequestID, Topic: r.Topic, After: waited, Status: r.Status, Acknowledged: true}
	}
	return &RejectedError{
		RequestID: r.RequestID, Topic: r.Topic, Status: r.Status,
		Message: body.Message, Details: body.Details,
		Authenticated: r.Status.Authenticated(),
		Hint:          hintOf(r.Status),
	}
}

func hintOf(s Status) string {
	switch s {
	case StatusNoHandler, StatusPluginUnavailable:
		return "`rrhost check` at the host lists its plugins and handlers"
	case StatusMalformed:
		return "client and host differ in version, or something on the way changed the record"
	}
	return ""
}
