// Package client sends requests to the handlers behind Kafka topics and waits
// for their replies.
//
//	c, err := client.Open(ctx, cfg)
//	...
//	defer c.Close()
//	total, err := client.Call[Total](ctx, c, "calculate", Sum{A: 10, B: 5})
//
// Payloads are sealed before they leave the process and opened when they are
// back. Every error of a call names the request, by the id under which the
// host's log and the audit trail know it.
//
// How far sarama may unpack a batch is one number for the process, which is the
// program's to set and not this package's: sarama.MaxDecompressedBatchSize.
// rrclient sets 80 MiB.
package client

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"rrhost/internal/envelope"
	"rrhost/internal/wire"
)

// GenerateKey returns a new encryption key, 64 hex characters, as
// [encryption] key and ENCRYPTION_KEY take it.
func GenerateKey() string { return envelope.GenerateKey() }

// A Request is what a [Transport] takes to a handler.
type Request struct {
	// Topic is the request topic.
	Topic string
	// ID is a UUID v4 in its canonical form. Empty: the client makes one.
	ID string
	// Key orders requests: those with the same key go to the same partition,
	// in the order of the calls. Nil: to any. It is readable in Kafka.
	Key []byte
	// Payload is what the handler gets: JSON, unless its author says
	// otherwise.
	Payload []byte
	// Ping asks the host itself, which answers for the handler; Payload is
	// empty then. See [Client.Ping].
	Ping bool
	// Timeout is how long the caller waits for the reply. Zero: the client's
	// default. An earlier deadline of the context counts.
	Timeout time.Duration
	// Headers go along, readable in Kafka, unsealed and unseen by handlers.
	// The names that the protocol uses are refused.
	Headers []Header
	// Traceparent and Tracestate are the W3C trace context, or empty.
	Traceparent, Tracestate string
}

// A Header is a header of a Kafka record.
type Header struct{ Key, Value string }

// A Reply is the outcome of a request.
type Reply struct {
	RequestID string
	Topic     string // the request's
	Status    Status
	// Attempt is how many times the host tried the handler.
	Attempt int
	// Duration is the time in the handler.
	Duration time.Duration
	// Plugin is the name and version of what answered.
	Plugin string
	// Payload is the response if Status is ok, and else JSON with code,
	// message and details. It is empty for a reply that is not authenticated.
	Payload []byte
}

// A Transport takes one request to where it is handled and brings the reply
// back, as http.RoundTripper does. It is safe for concurrent use.
type Transport interface {
	// RoundTrip returns the reply, whatever its status, or an error if there
	// is none: one of this package's types, or one that wraps what ended ctx.
	// It must not keep or change r after it returned.
	RoundTrip(ctx context.Context, r *Request) (*Reply, error)
	// Close ends the calls under way with [ErrClosed]. It may be called twice.
	Close() error
}

// Client calls handlers. It is safe for concurrent use, and meant to live as
// long as its program: many calls share its connections.
type Client struct{ t Transport }

// New makes a client over a transport. Most programs want [Open]; tests want
// package clienttest.
func New(t Transport) *Client { return &Client{t: t} }

// Close ends every call under way with [ErrClosed], waits for the goroutines of
// the client and closes its connections. It may be called twice.
func (c *Client) Close() error { return c.t.Close() }

// Do sends a request and waits for its reply, in bytes. For any status but ok
// it returns a typed error beside the reply; without a reply, an empty one with
// the request's id.
func (c *Client) Do(ctx context.Context, r Request) (Reply, error) {
	if r.ID == "" {
		r.ID = newID()
	} else if !wire.ValidID(r.ID) {
		return Reply{RequestID: r.ID, Topic: r.Topic}, &SendError{RequestID: r.ID, Topic: r.Topic,
			Err: fmt.Errorf("%w: the request id is not a UUID v4 in lower case", ErrMalformed)}
	}
	start := time.Now()
	reply, err := c.t.RoundTrip(ctx, &r)
	if reply == nil {
		return Reply{RequestID: r.ID, Topic: r.Topic}, err
	}
	if err == nil && reply.Status != StatusOK {
		err = errorOf(reply, time.Since(start))
	}
	return *reply, err
}

// Call sends req as JSON to topic and decodes the response, which is JSON too.
// Resp is named by the caller, Req is inferred:
//
//	total, err := client.Call[Total](ctx, c, "calculate", Sum{A: 10, B: 5})
//
// The error is a [*HandlerError] if the handler itself returned one, a
// [*TimeoutError] if there was no answer in time, a [*RejectedError] if the
// host could not have it handled, a [*SendError] if Kafka did not take the
// request. [ErrClosed] and the cause of a cancelled ctx are wrapped.
func Call[Resp, Req any](ctx context.Context, c *Client, topic string, req Req, opts ...CallOption) (Resp, error) {
	var resp Resp
	payload, err := json.Marshal(req)
	if err != nil {
		return resp, fmt.Errorf("call %s: encode the request: %w", topic, err)
	}
	r := Request{Topic: topic, Payload: payload}
	for _, o := range opts {
		o(&r)
	}
	reply, err := c.Do(ctx, r)
	if err != nil {
		return resp, err
	}
	if err := json.Unmarshal(reply.Payload, &resp); err != nil {
		return resp, fmt.Errorf("call %s, request %s: decode the response: %w", topic, reply.RequestID, err)
	}
	return resp, nil
}

// Stats are counts of what a client of [Open] met since then.
type Stats struct {
	// Pending is how many calls wait for their reply now.
	Pending int
	// Foreign is how many replies to others came by. Many, with many clients,
	// mean that the reply topic has too few partitions.
	Foreign int64
	// Duplicate is how many further replies came to requests already answered.
	Duplicate int64
	// Late is how many replies came after their call had ended.
	Late int64
	// Forged is how many replies to pending calls were dropped because they
	// do not open, or are malformed: anyone who may write to the reply topic
	// can send those.
	Forged int64
	// Repositioned is how often the reply topic was trimmed or cut under the
	// client, so that replies may have been missed.
	Repositioned int64
}

// Stats returns the counts so far; zeros for another transport than Kafka.
func (c *Client) Stats() Stats {
	if t, ok := c.t.(interface{ Stats() Stats }); ok {
		return t.Stats()
	}
	return Stats{}
}
