package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"rrhost/cmd/internal/cli"
	"rrhost/config"
	"rrhost/internal/handler"
	"rrhost/internal/process"
	"rrhost/internal/schema"
	"rrhost/internal/stream"
	"rrhost/internal/wire"
)

func newPluginCall(g *cli.Globals) *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "call PATH HANDLER JSON|-|@FILE",
		Short: "Try one request on a plugin, without Kafka",
		Long: `Start the plugin at PATH, an executable or a folder as in the plugin directory,
send one request to a handler, and print the response alone on standard output.
What the plugin logs is on standard error. - reads the request from standard
input, @FILE from a file. If there is a configuration file, the plugin's section
[plugin.NAME] counts: settings, user, limits.

With --json it prints request_id, status, duration_ms, plugin, and response or
else error with code, message and details.

Exit codes, as those of rrclient request: 0 ok, 4 the handler returned an error,
3 too late, 2 the command line or the configuration is wrong, 1 any other failure.`,
		Example: `  rrhost plugin call plugins/calculate calculate '{"a":10,"b":5}'
  echo '{"a":10,"b":5}' | rrhost plugin call plugins/calculate calculate - --timeout 5s
  rrhost plugin call ./myplugin price @order.json --json`,
		Args: cli.Args("PATH", "HANDLER", "JSON|-|@FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout < time.Millisecond || timeout > wire.MaxTimeout {
				return cli.Usage(fmt.Errorf("--timeout %s is not between 1ms and %s", timeout, wire.MaxTimeout))
			}
			t, err := newTrial(cmd, g, args[0])
			if err != nil {
				return err
			}
			defer t.remove()
			payload, err := cli.ReadPayload(cmd.Context(), args[2], cmd.InOrStdin(), t.process.MaxPayload)
			if err != nil {
				return err
			}
			t.process.Logger = hclog.New(&hclog.LoggerOptions{Output: cmd.ErrOrStderr(), Level: hclog.Info})
			a, err := t.call(cmd.Context(), args[1], payload, timeout)
			if err != nil {
				return err
			}
			switch {
			case g.JSON:
				err = cli.PrintJSON(cmd.OutOrStdout(), a)
			case a.Status == wire.StatusOK:
				err = cli.PrintResponse(cmd.OutOrStdout(), a.payload)
			}
			if err != nil || a.Status == wire.StatusOK {
				return err
			}
			return cli.WithCode(a.Status.ExitCode(), a.failure())
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", config.DefaultTimeout, "how long the handler may take")
	return c
}

// A pluginAnswer is what became of the request, as JSON.
type pluginAnswer struct {
	RequestID     string          `json:"request_id"`
	Status        wire.Status     `json:"status"`
	DurationMS    int64           `json:"duration_ms"`
	Plugin        string          `json:"plugin"`
	Response      json.RawMessage `json:"response,omitempty"`
	ResponseBytes []byte          `json:"response_bytes,omitempty"` // one that is no JSON
	Error         *wire.ErrorBody `json:"error,omitempty"`

	payload []byte
}

func (a pluginAnswer) failure() error {
	if a.Error.Code == string(a.Status) {
		return cli.Whole(fmt.Errorf("%s: %s", a.Status, a.Error.Message))
	}
	return cli.Whole(fmt.Errorf("%s: %s: %s", a.Status, a.Error.Code, a.Error.Message))
}

// call starts the plugin for one request. An error is one of the start, or of ctx.
func (t *trial) call(ctx context.Context, name string, payload []byte, timeout time.Duration) (a pluginAnswer, err error) {
	startCtx, cancel := context.WithTimeout(ctx, t.startTimeout)
	defer cancel()
	p, err := process.Start(startCtx, t.process)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return a, fmt.Errorf("start plugin %s: %w", t.process.Name, err)
	}
	stop := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return p.Stop(ctx)
	}
	defer func() { _ = stop() }() // the answer is here
	a = pluginAnswer{RequestID: uuid.NewString(), Plugin: wire.PluginText(t.process.Name, t.process.Version), Status: wire.StatusOK}
	r, err := request(ctx, p, t.process.Logger, a.RequestID, name, payload, timeout)
	if err != nil {
		return a, fmt.Errorf("call %s: %w", name, err)
	}
	a.DurationMS = r.Duration.Milliseconds()
	switch {
	case r.Crashed:
		text := "the plugin ended before it answered"
		if cause := stop(); cause != nil {
			text += ": it " + cause.Error()
		}
		a.Status, a.Error = wire.StatusPluginCrashed, &wire.ErrorBody{Code: string(wire.StatusPluginCrashed), Message: text}
	case r.Err != nil:
		a.Status, a.Error = wire.Status(r.Err.Status), &wire.ErrorBody{Code: r.Err.Code, Message: r.Err.Message, Details: r.Err.Details}
	case json.Valid(r.Payload):
		a.payload, a.Response = r.Payload, r.Payload
	default:
		a.payload, a.ResponseBytes = r.Payload, r.Payload
	}
	return a, nil
}

// stopTimeout is how long a plugin may take to leave, and lateAnswer how long it
// may take to say that the deadline has passed.
const (
	stopTimeout = 5 * time.Second
	lateAnswer  = time.Second
)

// request sends one request as the dispatcher does: held against the handler's
// schema where the plugin leaves that to the host, and cancelled at its deadline.
// As there, a schema that cannot be used is told, and the request served.
func request(ctx context.Context, p *process.Process, logger hclog.Logger, id, name string, payload []byte, timeout time.Duration) (stream.Result, error) {
	for _, h := range p.Instance().About().Handlers {
		if h.Name != name {
			continue
		}
		s, err := schema.OfRequests(h.RequestSchema, h.ChecksPayload)
		if err != nil {
			logger.Warn("the request is not checked against the handler's schema, which cannot be used", "handler", name, "error", err)
			continue
		}
		if refusal := s.Refusal(payload); refusal != nil {
			return stream.Result{Result: handler.Result{Err: refusal}}, nil
		}
	}
	results := make(chan stream.Result, 1)
	number := p.Instance().Start(stream.Request{
		Handler: name, Info: handler.Info{RequestID: id, Topic: name, Handler: name, Attempt: 1},
		Deadline: time.Now().Add(timeout), Payload: payload,
	}, func(r stream.Result) { results <- r })
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case r := <-results:
		return r, nil
	case <-ctx.Done():
		p.Instance().Cancel(number)
		return stream.Result{}, context.Cause(ctx)
	case <-late.C:
	}
	// A handler that heeds its context answers by itself, and knows it better.
	p.Instance().Cancel(number)
	select {
	case r := <-results:
		return r, nil
	case <-time.After(lateAnswer):
		return stream.Result{Result: handler.Result{Duration: timeout, Err: &handler.Error{
			Status: handler.StatusDeadlineExceeded, Code: handler.StatusDeadlineExceeded,
			Message: "the deadline passed while the handler ran, which goes on",
		}}}, nil
	case <-ctx.Done():
		return stream.Result{}, context.Cause(ctx)
	}
}
