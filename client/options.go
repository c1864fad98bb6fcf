package client

import "time"

// An Option changes what [Open] makes.
type Option func(*options)

type options struct{ timeout time.Duration }

// WithDefaultTimeout is how long calls wait that do not say. Default: 30 s.
func WithDefaultTimeout(d time.Duration) Option {
	return func(o *options) { o.timeout = d }
}

// A CallOption changes one call.
type CallOption func(*Request)

// WithTimeout is how long to wait for the reply. An earlier deadline of the
// context counts.
func WithTimeout(d time.Duration) CallOption {
	return func(r *Request) { r.Timeout = d }
}

// WithKey sets the ordering key: requests with the same key go to the same
// partition, in the order of the calls. It is readable in Kafka.
func WithKey(key []byte) CallOption {
	return func(r *Request) { r.Key = key }
}

// WithHeader adds a header to the Kafka record, readable for tools on the way
// and unseen by handlers.
func WithHeader(key, value string) CallOption {
	return func(r *Request) { r.Headers = append(r.Headers, Header{key, value}) }
}

// WithRequestID calls under an id of the caller's, a UUID v4 in lower case, to
// know it before there is an answer or to ask again for the same thing.
func WithRequestID(id string) CallOption {
	return func(r *Request) { r.ID = id }
}

// WithTrace passes on a W3C trace context.
func WithTrace(traceparent, tracestate string) CallOption {
	return func(r *Request) { r.Traceparent, r.Tracestate = traceparent, tracestate }
}
