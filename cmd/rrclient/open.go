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

// readPayload reads the JSON of a request from the command line, a file or stdin.
func readPayload(arg string, stdin io.Reader, most int) ([]byte, error) {
	var payload []byte
	var err error
	switch {
	case arg == "-":
		payload, err = readBounded(stdin, most)
	case strings.HasPrefix(arg, "@"): // no JSON begins so
		payload, err = readFile(arg[1:], most)
	default:
		payload = []byte(arg)
	}
	if err != nil {
		return nil, cli.Usage(fmt.Errorf("read the request: %w", err))
	}
	if err := checkJSON(payload); err != nil {
		return nil, cli.Hint(cli.Usage(err), `quote it for the shell, as in '{"a":10,"b":5}'; - reads standard input, @FILE a file`)
	}
	return payload, nil
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
