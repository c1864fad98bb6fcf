package host

import (
	"context"
	"encoding/json"
	"time"

	"rrhost/host/internal/supervise"
	"rrhost/internal/wire"
)

// Development makes a host one to develop plugins with, as `rrhost dev` does. The
// zero value changes nothing.
type Development struct {
	// Answered is called with every request that has been answered or refused,
	// from several goroutines. It holds the next ones up while it runs.
	Answered func(Answered)
	// Build, if it is not nil, is called once, when all else that the host needs is
	// there and its own, and before it starts plugins: a host that cannot start
	// leaves the plugin directory alone. It ends with its context.
	Build func(ctx context.Context)
	// Attach names the plugins whose processes their authors start themselves,
	// and the path that each gets as RRHOST_ATTACH. The host uses what listens
	// there, and neither starts nor ends it.
	Attach map[string]string
	// Manual: what changes in the plugin directory is run when
	// [Host.ReloadPlugin] says so, and not by itself.
	Manual bool
}

// Answered is a request that a host has answered or refused.
type Answered struct {
	Topic, RequestID string
	// Status is the reply's, such as "ok" or "handler_error".
	Status string
	// Plugin is who answered, with its version; empty if nobody did.
	Plugin string
	// Code is the error's, where Status is not "ok".
	Code string
	// Took is the time from the request's arrival to its reply's acknowledgement;
	// Handled, the part of it in the handler.
	Took, Handled time.Duration
	// Request is the payload, and Response the reply's or, as JSON, the error's.
	// They are not to be changed. Request is nil if it could not be opened.
	Request, Response []byte
}

// WithDevelopment makes the host one to develop plugins with.
func WithDevelopment(d Development) Option {
	return func(h *Host) { h.development = d }
}

// ReloadPlugin starts what is in the plugin directory now in place of what runs,
// without a request lost. It returns once the new one is ready or refused; the old
// one goes on then. A plugin that did not run is tried at once.
func (h *Host) ReloadPlugin(ctx context.Context, name string) error {
	p, err := h.supervised(name)
	if err != nil {
		return err
	}
	return p.Reload(ctx)
}

// supervised is what looks after a plugin: its process, or the use of one.
type supervised interface {
	Run(ctx context.Context)
	State() supervise.State
	Reload(ctx context.Context) error
	Restart(ctx context.Context) error
	Rollback(ctx context.Context) error
}

// supervise makes what looks after the plugin of c.
func (h *Host) supervise(c supervise.Config) supervised {
	if path, ok := h.development.Attach[c.Name]; ok {
		return supervise.Attach(c, path)
	}
	c.Manual = h.development.Manual
	return supervise.New(c)
}

// tell tells the developer how a request ended.
func (r *request) tell(status wire.Status) {
	if r.answered == nil {
		return
	}
	a := Answered{
		Topic: r.message.Topic, RequestID: r.wire.ID, Status: string(status), Plugin: r.outcome.Plugin,
		Took: time.Since(r.begun), Handled: r.outcome.Duration, Request: r.payload, Response: r.outcome.Payload,
	}
	if r.outcome.Error.Code != "" {
		a.Code = r.outcome.Error.Code
		a.Response, _ = json.Marshal(r.outcome.Error) // strings and JSON, as it was sent
	}
	r.answered(a)
}
