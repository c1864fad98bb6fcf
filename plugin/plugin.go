// Package plugin is for authors of handlers: a plugin is a program whose main
// function calls [Serve] with its handlers, and which the host starts.
//
//	func main() {
//		plugin.Serve(plugin.Handle("calculate", func(ctx context.Context, in Sum) (Total, error) {
//			return Total{Result: in.A + in.B}, nil
//		}))
//	}
//
// Handlers run concurrently, each request in a goroutine of its own, with a
// context that ends at the requester's deadline. A handler may see a request
// again after a crash, under the same [RequestID] and with a higher
// [Info.Attempt] or [Info.Redelivered]: what it does should bear that.
package plugin

import (
	"context"
	"fmt"

	"github.com/hashicorp/go-hclog"

	"rrhost/internal/handler"
)

// A Handler is a named function for [Serve].
type Handler = handler.Handler

// Info is what a handler can know about a request beside its payload.
type Info = handler.Info

// An Error is an error with a code that programs can tell apart. The requester
// gets code, message and details; no log does. Any other error reaches it with
// its text and the code "error".
type Error = handler.UserError

// Errorf makes an [Error] without details.
func Errorf(code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Handle makes a handler from a function over Go values: the request's JSON is
// decoded into In as encoding/json does, and Out is encoded. A request that does
// not fit In is answered for the handler, naming the field; fields that In lacks
// are ignored, and fields that the request lacks are zero.
//
// Requesters see a schema that is made of In and Out; the tag
// jsonschema:"what it is" describes a field. Where requests must be held against
// more than types, give a schema of your own with [Handler.WithRequestSchema].
//
// It panics if the name is empty or has white space, fn is nil, or a jsonschema
// tag is no description, such as "minimum=1".
func Handle[In, Out any](name string, fn func(context.Context, In) (Out, error)) Handler {
	return handler.New(name, fn)
}

// HandleRaw makes a handler from a function over the payload's bytes. It may
// return them, but not change them, nor keep them after it returned. That the
// request is JSON is not checked, and that the response is, is the author's
// promise.
//
// It panics as [Handle] does.
func HandleRaw(name string, fn func(ctx context.Context, payload []byte) ([]byte, error)) Handler {
	return handler.NewRaw(name, fn)
}

// RequestID is the request's id, the same for all attempts; empty if ctx is not
// a handler's.
func RequestID(ctx context.Context) string {
	info, _ := handler.InfoFrom(ctx)
	return info.RequestID
}

// InfoFrom returns what is known about the request; false if ctx is not a
// handler's.
func InfoFrom(ctx context.Context) (Info, bool) {
	return handler.InfoFrom(ctx)
}

// Logger returns the request's logger. Its lines join the host's log with the
// request's id, the plugin's name, version and process, and the level.
func Logger(ctx context.Context) hclog.Logger {
	return handler.LoggerFrom(ctx)
}
