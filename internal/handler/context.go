package handler

import (
	"context"

	"github.com/hashicorp/go-hclog"
)

// Info is what a handler can know about the request beside its payload.
type Info struct {
	RequestID string
	// Topic is the request topic; Handler the name of the handler.
	Topic, Handler string
	// Attempt counts this host's tries of the request, from 1.
	Attempt int
	// Redelivered: an earlier host or claim may have run the request already.
	Redelivered bool
	// Traceparent and Tracestate are the W3C trace context, empty if the
	// requester sent none.
	Traceparent, Tracestate string
}

// request is one context value rather than several: it is made per request.
type request struct {
	info   Info
	logger hclog.Logger
}

type requestKey struct{}

func withRequest(ctx context.Context, r *request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// InfoFrom returns what is known about the request that ctx belongs to; false
// if ctx is not a handler's.
func InfoFrom(ctx context.Context) (Info, bool) {
	r, ok := ctx.Value(requestKey{}).(*request)
	if !ok {
		return Info{}, false
	}
	return r.info, true
}

// LoggerFrom returns a logger whose lines carry the request's id, topic and
// handler. Without a request in ctx its lines go nowhere. It is made at the
// call, so that a handler that logs nothing pays nothing.
func LoggerFrom(ctx context.Context) hclog.Logger {
	r, ok := ctx.Value(requestKey{}).(*request)
	if !ok {
		return hclog.NewNullLogger()
	}
	return r.logger.With("request_id", r.info.RequestID, "topic", r.info.Topic, "handler", r.info.Handler)
}
