package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"rrhost/client"
	"rrhost/cmd/internal/cli"
	"rrhost/config"
)

func newRequest(g *cli.Globals) *cobra.Command {
	var (
		timeout time.Duration
		key     string
		quiet   bool
		fast    bool
	)
	c := &cobra.Command{
		Use:   "request TOPIC JSON|-|@FILE",
		Short: "Send a request and print the response",
		Long: `Send a request and print the response alone on standard output; the request's
id is on standard error. - reads the request from standard input, @FILE from a
file.

With --json it prints request_id, status, attempt, duration_ms, plugin, and
response or else error with code, message, details and hint. A request that got
no reply has another status: timeout, no_host, unreachable, login_refused,
not_sent, not_served, malformed, too_large, interrupted, closed or error.

With --fail-fast a request to a topic that no host has announced within 90s fails
at once, as not_served, instead of waiting for one: see "rrclient topics".`,
		Example: `  rrclient request calculate '{"a":10,"b":5}'
  echo '{"a":10,"b":5}' | rrclient request calculate - --timeout 5s
  rrclient request calculate @sum.json --key account-17 --json`,
		Args:              cli.Args("TOPIC", "JSON|-|@FILE"),
		ValidArgsFunction: completeTopics(g),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := g.Load()
			if err != nil {
				return err
			}
			if err := checkTimeout(timeout); err != nil {
				return cli.Usage(err)
			}
			payload, err := readPayload(cmd.Context(), args[1], cmd.InOrStdin(), cfg.Host.MaxPayload)
			if err != nil {
				return err
			}
			r := client.Request{Topic: args[0], ID: uuid.NewString(), Payload: payload, Timeout: timeout}
			if cmd.Flags().Changed("key") {
				r.Key = []byte(key)
			}
			var opts []client.Option
			if fast {
				opts = append(opts, client.WithFailFast())
			}
			reply, err := send(cmd, cfg, r, quiet, opts...)
			out := cmd.OutOrStdout()
			switch {
			case g.JSON:
				if e := cli.PrintJSON(out, answerOf(r, reply, err)); e != nil {
					return e
				}
			case err == nil:
				if e := cli.PrintResponse(out, reply.Payload); e != nil {
					return e
				}
			}
			return err
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", config.DefaultTimeout, "how long to wait for the reply")
	c.Flags().StringVar(&key, "key", "", "ordering `key`: requests with the same one go to the same partition; readable in Kafka")
	c.Flags().BoolVar(&fast, "fail-fast", false, "fail at once where no host serves the topic")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "leave out the request id")
	return c
}

// send tells the id once there is somebody to send to.
func send(cmd *cobra.Command, cfg config.Config, r client.Request, quiet bool, opts ...client.Option) (client.Reply, error) {
	c, err := open(cmd.Context(), cfg, r.Timeout, opts...)
	if err != nil {
		return client.Reply{}, err
	}
	defer c.Close()
	if !quiet {
		fmt.Fprintln(cmd.ErrOrStderr(), "request_id:", r.ID)
	}
	reply, err := c.Do(cmd.Context(), r)
	return reply, failed(err)
}

// An answer is what became of a request, as JSON.
type answer struct {
	RequestID     string          `json:"request_id"`
	Status        string          `json:"status"`
	Attempt       int             `json:"attempt"`
	DurationMS    int64           `json:"duration_ms"`
	Plugin        string          `json:"plugin"`
	Response      json.RawMessage `json:"response,omitempty"`
	ResponseBytes []byte          `json:"response_bytes,omitempty"` // one that is no JSON
	Error         *answerError    `json:"error,omitempty"`
}

type answerError struct {
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Details json.RawMessage `json:"details,omitempty"`
	Hint    string          `json:"hint,omitempty"`
}

func answerOf(r client.Request, reply client.Reply, err error) answer {
	a := answer{
		RequestID: r.ID, Status: string(client.StatusOK),
		Attempt: reply.Attempt, DurationMS: reply.Duration.Milliseconds(), Plugin: reply.Plugin,
	}
	if err != nil {
		a.Status = nameOf(err)
		a.Error = errorOf(err)
		return a
	}
	if json.Valid(reply.Payload) {
		a.Response = reply.Payload
	} else {
		a.ResponseBytes = reply.Payload
	}
	return a
}

func errorOf(err error) *answerError {
	var handler *client.HandlerError
	var rejected *client.RejectedError
	switch {
	case errors.As(err, &handler):
		return &answerError{Code: handler.Code, Message: handler.Message, Details: handler.Details}
	case errors.As(err, &rejected):
		return &answerError{Code: string(rejected.Status), Message: rejected.Message, Details: rejected.Details, Hint: rejected.Hint}
	}
	text, hint := cli.Split(err)
	name := nameOf(err)
	return &answerError{Code: name, Message: strings.TrimPrefix(text, name+": "), Hint: hint}
}
