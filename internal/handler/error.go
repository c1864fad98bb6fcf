package handler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unicode/utf8"
)

// The statuses of [Error.Status], as they stand on the wire.
const (
	StatusHandlerError     = "handler_error"
	StatusInvalidPayload   = "invalid_payload"
	StatusDeadlineExceeded = "deadline_exceeded"
	StatusNoHandler        = "no_handler"
	StatusReplyTooLarge    = "reply_too_large"
)

// The codes of handler errors whose author gave none.
const (
	CodeError         = "error"          // an error without a code
	CodePanic         = "panic"          // the handler panicked
	CodeInvalidResult = "invalid_result" // the result has no JSON form
)

// Bounds of what an author's error may carry, in bytes. What is longer is cut:
// the requester is better served with most of a message than with none.
const (
	maxCode    = 128
	maxMessage = 8 << 10
)

// An Error is why a request has no response.
type Error struct {
	Status  string // one of the constants above
	Code    string // the author's own, or for all but [StatusHandlerError] the status
	Message string
	Details json.RawMessage // the author's own; nil if none
	// Stack has the lines of a panic's stack, without arguments. It has been
	// logged, and never reaches a requester.
	Stack string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s: %s", e.Status, e.Code, e.Message)
}

// A UserError is an error that its author gave a code; requesters get all of
// it. Package plugin exports it as plugin.Error.
type UserError struct {
	// Code is for programs, such as "no_such_account". Empty means "error".
	Code string
	// Message is for people.
	Message string
	// Details is anything with a JSON form; nil for none.
	Details any
}

func (e *UserError) Error() string {
	if e.Code == "" {
		return e.Message
	}
	return e.Code + ": " + e.Message
}

// payloadError is why a payload was not taken. Its text names fields, never
// their values.
type payloadError struct{ text string }

func (e *payloadError) Error() string { return e.text }

// encodeError is a result without a JSON form.
type encodeError struct{ err error }

func (e *encodeError) Error() string { return "the result has no JSON form: " + e.err.Error() }
func (e *encodeError) Unwrap() error { return e.err }

// faultOf decides whose fault err is. It calls methods of the author's types,
// so it runs guarded.
func faultOf(ctx context.Context, err error, maxReply int) *Error {
	var (
		payload *payloadError
		encode  *encodeError
		user    *UserError
	)
	switch {
	case errors.As(err, &payload):
		return &Error{Status: StatusInvalidPayload, Code: StatusInvalidPayload, Message: payload.text}
	case endedBy(ctx, err):
		return &Error{Status: StatusDeadlineExceeded, Code: StatusDeadlineExceeded, Message: "the deadline passed while the handler ran"}
	case errors.As(err, &encode):
		return &Error{Status: StatusHandlerError, Code: CodeInvalidResult, Message: CutMessage(encode.Error())}
	case errors.As(err, &user) && user != nil:
		return userFault(user, maxReply)
	}
	return &Error{Status: StatusHandlerError, Code: CodeError, Message: CutMessage(err.Error())}
}

// endedBy reports whether err says that ctx is over: then the deadline is the
// reason, whatever the handler was doing.
func endedBy(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled))
}

func userFault(user *UserError, maxReply int) *Error {
	fault := &Error{Status: StatusHandlerError, Code: cut(user.Code, maxCode), Message: CutMessage(user.Message)}
	if fault.Code == "" {
		fault.Code = CodeError
	}
	if user.Details == nil {
		return fault
	}
	details, err := json.Marshal(user.Details)
	if err != nil {
		details, _ = json.Marshal("the details have no JSON form")
	}
	if size := len(details) + len(fault.Message) + len(fault.Code); maxReply > 0 && size > maxReply {
		return TooLarge(size, maxReply)
	}
	fault.Details = details
	return fault
}

// TooLarge is the answer for a reply of size bytes where limit are allowed.
func TooLarge(size, limit int) *Error {
	return &Error{
		Status: StatusReplyTooLarge, Code: StatusReplyTooLarge,
		Message: fmt.Sprintf("the reply has %d bytes, and %d are allowed", size, limit),
	}
}

// Foreign makes an error of what another process said. It bounds every part as
// [Handler.Run] does, and makes of an unknown status a handler's error.
func Foreign(status, code, message string, details []byte, maxReply int) *Error {
	e := &Error{Status: status, Code: cut(code, maxCode), Message: CutMessage(message)}
	switch status {
	case StatusInvalidPayload, StatusDeadlineExceeded, StatusNoHandler, StatusReplyTooLarge:
		e.Code = status
		return e
	case StatusHandlerError:
	default:
		e.Status = StatusHandlerError
	}
	if e.Code == "" {
		e.Code = CodeError
	}
	if size := len(details) + len(e.Message) + len(e.Code); maxReply > 0 && size > maxReply {
		return TooLarge(size, maxReply)
	}
	if len(details) > 0 && json.Valid(details) {
		e.Details = details
	}
	return e
}

// NoHandler is the answer to a request for a handler that does not exist.
func NoHandler(name string, have []string) *Error {
	return &Error{
		Status: StatusNoHandler, Code: StatusNoHandler,
		Message: fmt.Sprintf("no handler %q; there is: %s", cut(name, MaxNameLen), strings.Join(have, ", ")),
	}
}

// Misfit is the answer for a request that does not fit its schema. text names the
// field, and quotes nothing.
func Misfit(text string) *Error {
	return &Error{Status: StatusInvalidPayload, Code: StatusInvalidPayload, Message: CutMessage(text)}
}

// Abandoned is the answer for a handler that ended its goroutine instead of
// returning, which no recover can see.
func Abandoned() *Error {
	return &Error{Status: StatusHandlerError, Code: CodePanic, Message: "the handler ended its goroutine without a result"}
}

// panicked describes the panic under recovery. Function names and lines only:
// neither the value thrown nor arguments, since both may hold a payload.
func panicked() *Error {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var stack strings.Builder
	for {
		frame, more := frames.Next()
		// What is below this is the same for every request.
		if strings.HasSuffix(frame.Function, ".Handler.guarded") {
			break
		}
		if !strings.HasPrefix(frame.Function, "runtime.") {
			fmt.Fprintf(&stack, "%s\n\t%s:%d\n", frame.Function, frame.File, frame.Line)
		}
		if !more {
			break
		}
	}
	return &Error{Status: StatusHandlerError, Code: CodePanic, Message: "the handler panicked", Stack: stack.String()}
}

// CutMessage is what of an error's message goes on and is stored: at most 8 KiB
// of it, made valid UTF-8.
func CutMessage(text string) string { return cut(text, maxMessage) }

// cut shortens valid text to at most n bytes, at a rune's start, and makes it
// valid UTF-8: protobuf and JSON refuse else.
func cut(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = strings.Clone(s[:n]) // else it would hold on to the whole
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
