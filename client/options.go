package client

import "time"

// An Option changes what [Open] makes.
type Option func(*options)

type options struct {
	timeout  time.Duration
	failFast bool
}

// WithDefaultTimeout is how long calls wait that do not say. Default: 30 s.
func WithDefaultTimeout(d time.Duration) Option {
	return func(o *options) { o.timeout = d }
}

// WithFailFast makes calls to a topic that no host serves fail at once, with
// [ErrNotServed], rather than after their timeout. The client then follows what
// hosts announce on the control topic: it reads all of that before [Open]
// returns, and Open fails if it cannot.
//
// A topic counts as served until 90 s after it was last announced, so that the
// restart of its only host fails no call. While the control topic cannot be read,
// and for 90 s after that or after this process was stopped, calls wait as without
// this option: hosts may have had no way to announce themselves. For what was announced before Open,
// this process's clock is compared with the broker's: they have to agree within a
// minute. Announcements are not sealed: who may write to the control topic can
// make a topic look served, so that calls wait for their timeout as without this
// option, but not make a served one look deserted.
func WithFailFast() Option {
	return func(o *options) { o.failFast = true }
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
