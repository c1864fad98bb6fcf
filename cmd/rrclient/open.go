package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"rrhost/client"
	"rrhost/cmd/internal/cli"
	"rrhost/config"
	"rrhost/internal/kafka"
	"rrhost/internal/wire"
)

// open connects, within timeout.
func open(ctx context.Context, cfg config.Config, timeout time.Duration, opts ...client.Option) (*client.Client, error) {
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
	c, err := client.Open(ctx, cfg, opts...)
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
	payload, err := cli.ReadPayload(ctx, arg, stdin, most)
	if err != nil && ctx.Err() != nil {
		err = failed(err)
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
