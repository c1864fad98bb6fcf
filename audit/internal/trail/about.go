package trail

import (
	"time"

	"rrhost/internal/wire"
)

// About is what the seal of the row's payload is bound to: the record's fields
// as they stood on the wire.
func (r *Row) About() []byte {
	if r.Type == Response {
		reply := wire.Reply{
			Topic: r.RequestTopic, RequestID: r.RequestID, Status: wire.Status(r.Status), Attempt: r.Attempt,
			Duration: time.Duration(r.DurationMS) * time.Millisecond, Plugin: r.Plugin, Key: r.Key,
		}
		return reply.AppendAbout(nil)
	}
	request := wire.Request{ // a dead letter carries the request's
		Topic: r.RequestTopic, ID: r.RequestID, Key: r.Key, ReplyTo: r.ReplyTo, ReplyPartition: r.ReplyPartition,
		Timeout: time.Duration(r.TimeoutMS) * time.Millisecond, Sent: time.UnixMilli(r.SentMS),
	}
	return request.AppendAbout(nil)
}
