package client

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"rrhost/internal/discovery"
)

// A Pong is a host's answer to a ping.
type Pong struct {
	RequestID string
	Topic     string
	// Host is the id of one life of a host, and Name that of its machine.
	Host, Name string
	// Plugin, Version and Handler serve the topic there; State is the plugin's,
	// "ready" if it takes requests. Version and Handler are empty while they
	// are not known.
	Plugin, Version, Handler, State string
	// Took is from the call to its end.
	Took time.Duration
}

// Ping asks whoever hosts topic to answer by itself, without the plugin: by the
// way of any request, sealed, from one of the hosts. The errors are those of
// [Call]; an answer from a host whose plugin is down is none, see [Pong].
func (c *Client) Ping(ctx context.Context, topic string, opts ...CallOption) (Pong, error) {
	r := Request{Topic: topic, Ping: true}
	for _, o := range opts {
		o(&r)
	}
	begun := time.Now()
	reply, err := c.Do(ctx, r)
	p := Pong{RequestID: reply.RequestID, Topic: topic, Took: time.Since(begun)}
	if err != nil {
		return p, err
	}
	var body discovery.Pong
	if err := json.Unmarshal(reply.Payload, &body); err != nil {
		return p, fmt.Errorf("ping %s, request %s: the host's answer cannot be read", topic, reply.RequestID)
	}
	p.Host, p.Name = body.Host, body.Name
	p.Plugin, p.Version, p.Handler, p.State = body.Plugin, body.Version, body.Handler, body.State
	return p, nil
}
