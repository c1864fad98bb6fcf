package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rrhost/client"
	"rrhost/cmd/internal/cli"
	"rrhost/config"
	"rrhost/internal/kafka"
	"rrhost/internal/wire"
)

// open connects, within timeout.
func open(ctx context.Context, cfg config.Config, timeout time.Duration) (*client.Client, error) {
	cli.TuneSarama(nil)
	if _, err := cli.Keys(cfg); err != nil {
		if cfg.IsEmbedded() && errors.Is(err, config.ErrNoKey) {
			// The first start of a host makes key and broker alike.
			text, _ := cli.Split(err)
			err = failed(cli.Hint(fmt.Errorf("%w: %s", kafka.ErrNoHost, text), "start one with `rrhost run`"))
		}
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := client.Open(ctx, cfg)
	return c, failed(err)
}

// checkTimeout checks the flag.
func checkTimeout(d time.Duration) error {
	switch {
	case d < time.Millisecond:
		return fmt.Errorf("--timeout %s is below 1ms", d)
	case d > wire.MaxTimeout:
		return fmt.Errorf("--timeout %s is above %s", d, wire.MaxTimeout)
	}
	return nil
}

// readPayload reads the JSON of a request from the command line, a file or stdin.
func readPayload(ctx context.Context, arg string, stdin io.Reader, most int) ([]byte, error) {
	payload, err := []byte(arg), error(nil)
	switch {
	case arg == "-":
		payload, err = interruptible(ctx, func() ([]byte, error) { return readBounded(stdin, most) })
	case strings.HasPrefix(arg, "@"): // no JSON begins so
		payload, err = interruptible(ctx, func() ([]byte, error) { return readFile(arg[1:], most) })
	}
	if err != nil && ctx.Err() != nil {
		return nil, failed(fmt.Errorf("read the request: %w", err))
	}
	if err != nil {
		return nil, cli.Usage(fmt.Errorf("read the request: %w", err))
	}
	if err := checkJSON(payload); err != nil {
		return nil, cli.Hint(cli.Usage(err), `quote it for the shell, as in '{"a":10,"b":5}'; - reads standard input, @FILE a file`)
	}
	return payload, nil
}

// interruptible reads until ctx ends. A terminal or a pipe knows no context: its
// read then goes on until the process ends, which is at once.
func interruptible(ctx context.Context, read func() ([]byte, error)) ([]byte, error) {
	type result struct {
		payload []byte
		err     error
	}
	done := make(chan result, 1)
	go func() {
		payload, err := read()
		done <- result{payload, err}
	}()
	select {
	case r := <-done:
		return r.payload, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func readFile(name string, most int) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f, most)
}

// readBounded reads no more than a request may have and one byte.
func readBounded(r io.Reader, most int) ([]byte, error) {
	payload, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	if err == nil && len(payload) > most {
		err = fmt.Errorf("it is larger than host.max_payload, %d bytes", most)
	}
	return payload, err
}

// completeTopics offers the configuration's topics for a first argument.
func completeTopics(g *cli.Globals) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		cfg, err := g.Load()
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []cobra.Completion
		for _, t := range cfg.Topics {
			names = append(names, t.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
