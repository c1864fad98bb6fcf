// Package handler takes one request through a handler: decode, call, recover,
// encode. It knows no transport, so a plugin process and a handler inside the
// host answer the same request with the same bytes.
package handler

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"
	"unicode"

	"github.com/hashicorp/go-hclog"
)

// MaxNameLen bounds a handler's name, in bytes.
const MaxNameLen = 128

// A Handler is a named function of a plugin: what [New] or [NewRaw] made. The
// zero Handler has no function and must not be run.
type Handler struct {
	name              string
	request, response json.RawMessage
	checks            bool // call refuses what does not fit request
	call              func(ctx context.Context, payload []byte) ([]byte, error)
}

// New makes a handler from a function over Go values. The request's JSON is
// decoded into In (fields that In lacks are ignored), Out is encoded as JSON.
//
// It panics if name or fn cannot be served, or a jsonschema tag of In or Out is
// no description: that is a mistake of the program, found at its start.
func New[In, Out any](name string, fn func(context.Context, In) (Out, error)) Handler {
	mustBeUsable(name, fn == nil)
	nullable := takesNull(reflect.TypeFor[In]())
	return Handler{
		name:     name,
		request:  requestSchema[In](),
		response: responseSchema[Out](),
		checks:   true, // decode does, with the types that the schema is made of
		call: func(ctx context.Context, payload []byte) ([]byte, error) {
			var in In
			if err := decode(payload, &in, nullable); err != nil {
				return nil, err
			}
			out, err := fn(ctx, in)
			if err != nil {
				return nil, err
			}
			text, err := json.Marshal(out)
			if err != nil {
				return nil, &encodeError{err}
			}
			return text, nil
		},
	}
}

// NewRaw makes a handler from a function over the payload's bytes. It must not
// change payload, nor keep it after it returned, but may return it.
//
// It panics as [New] does.
func NewRaw(name string, fn func(ctx context.Context, payload []byte) ([]byte, error)) Handler {
	mustBeUsable(name, fn == nil)
	return Handler{name: name, call: fn}
}

// Name is the name that a topic's configuration refers to.
func (h Handler) Name() string { return h.name }

// RequestSchema is the JSON Schema of what the handler takes; nil if unknown.
func (h Handler) RequestSchema() json.RawMessage { return h.request }

// WithRequestSchema returns h with a JSON Schema of the author's own, against
// which requests are held before the function sees them: by the host, since it may
// ask for more than In does. It panics if it is not JSON.
func (h Handler) WithRequestSchema(schema string) Handler {
	if !json.Valid([]byte(schema)) {
		panic(fmt.Sprintf("handler: the request schema of %q is not JSON", h.name))
	}
	h.request, h.checks = json.RawMessage(schema), false
	return h
}

// ChecksPayload tells whether the handler itself refuses requests that do not fit
// its schema.
func (h Handler) ChecksPayload() bool { return h.checks }

// ResponseSchema is the JSON Schema of what the handler returns; nil if
// unknown.
func (h Handler) ResponseSchema() json.RawMessage { return h.response }

// A Result is the outcome of one request: Payload, or Err if that is not nil.
type Result struct {
	// Payload is the response, not nil if Err is nil.
	Payload []byte
	Err     *Error
	// Duration is the time in the handler, decoding and encoding included.
	Duration time.Duration
}

// Run takes one request through h. ctx carries the deadline. It never panics:
// what goes wrong in the handler is a [Result.Err]. A panic's stack goes to
// logger, the value that it was thrown with nowhere: it may quote the payload.
//
// A response above maxReply bytes becomes [StatusReplyTooLarge]; zero means no
// limit.
func (h Handler) Run(ctx context.Context, info Info, logger hclog.Logger, payload []byte, maxReply int) Result {
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	if info.Handler == "" {
		info.Handler = h.name
	}
	ctx = withRequest(ctx, &request{info: info, logger: logger})
	start := time.Now()
	out, fault := h.guarded(ctx, payload, maxReply)
	res := Result{Payload: out, Err: fault, Duration: time.Since(start)}
	if fault != nil {
		res.Payload = nil
		if fault.Stack != "" {
			LoggerFrom(ctx).Error("handler panicked", "stack", fault.Stack)
		}
	}
	return res
}

// guarded is the part of Run in which the author's code runs: the function, and
// the methods of what it takes and returns.
func (h Handler) guarded(ctx context.Context, payload []byte, maxReply int) (out []byte, fault *Error) {
	defer func() {
		if recover() != nil {
			out, fault = nil, panicked()
		}
	}()
	out, err := h.call(ctx, payload)
	switch {
	case err != nil:
		return nil, faultOf(ctx, err, maxReply)
	case maxReply > 0 && len(out) > maxReply:
		return nil, TooLarge(len(out), maxReply)
	case out == nil:
		return []byte{}, nil
	}
	return out, nil
}

func mustBeUsable(name string, missing bool) {
	if err := CheckName(name); err != nil {
		panic("handler: " + err.Error())
	}
	if missing {
		panic(fmt.Sprintf("handler: %q has no function", name))
	}
}

// CheckName says what is wrong with a handler's name: empty, too long, or with
// white space or characters that do not print.
func CheckName(name string) error {
	if name == "" || len(name) > MaxNameLen {
		return fmt.Errorf("a handler's name has 1 to %d bytes, not %d", MaxNameLen, len(name))
	}
	for _, r := range name {
		if r == unicode.ReplacementChar || unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return fmt.Errorf("a handler's name has no white space or control characters: %q", name)
		}
	}
	return nil
}
