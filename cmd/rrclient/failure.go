package main

import (
	"context"
	"errors"
	"strings"

	"rrhost/client"
	"rrhost/cmd/internal/cli"
	"rrhost/internal/kafka"
)

// nameOf names a failed call in one word: the status that the host answered, or
// what kept an answer away.
func nameOf(err error) string {
	var send *client.SendError
	switch status := client.StatusOf(err); {
	case status != "":
		return string(status)
	case errors.Is(err, cli.ErrInterrupted), errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, kafka.ErrNoHost):
		return "no_host"
	case errors.Is(err, kafka.ErrLogin):
		return "login_refused"
	case errors.Is(err, kafka.ErrUnreachable):
		return "unreachable"
	case errors.Is(err, client.ErrTooLarge):
		return "too_large"
	case errors.Is(err, client.ErrMalformed):
		return "malformed"
	case errors.Is(err, client.ErrNotServed):
		return "not_served"
	case errors.As(err, &send):
		return "not_sent"
	case errors.Is(err, client.ErrClosed):
		return "closed"
	}
	return "error"
}

// exitTimeout is what a call exits with that nobody answered in time, as with
// the statuses that say so.
var exitTimeout = client.StatusExpired.ExitCode()

// named is the error of a call with its name before it, where it does not end
// with it: an interruption is said once.
type named struct {
	error
	name string
}

func (n named) Error() string {
	text := n.error.Error()
	if text == n.name {
		return text
	}
	return n.name + ": " + strings.TrimSuffix(text, ": "+n.name)
}

func (n named) Unwrap() error { return n.error }

// failed gives the error of a call its name, a hint and its exit code.
func failed(err error) error {
	if err == nil {
		return nil
	}
	name, code := nameOf(err), cli.ExitError
	switch status := client.StatusOf(err); {
	case status != "":
		code = status.ExitCode()
	case name == "timeout":
		code = exitTimeout
	case name == "malformed": // by what the command line says
		code = cli.ExitUsage
	}
	var rejected *client.RejectedError
	switch {
	case errors.As(err, &rejected): // which names its status itself
		said := *rejected
		said.Hint = ""
		if err = cli.Whole(&said); rejected.Hint != "" {
			err = cli.Hint(err, rejected.Hint)
		}
	case errors.As(err, new(*client.HandlerError)):
		err = cli.Whole(named{err, name})
	default:
		err = named{err, name}
	}
	_, hint := cli.Split(err)
	if hint == "" && (name == "timeout" || name == "not_sent") {
		err = cli.Hint(err, "`rrhost check` tells whether Kafka answers, and whether it has the topic")
	}
	return cli.WithCode(code, err)
}
