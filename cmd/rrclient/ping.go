package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"rrhost/client"
	"rrhost/cmd/internal/cli"
)

const (
	pingTimeout  = 5 * time.Second
	pingInterval = time.Second
)

// ping are the flags of the command.
type ping struct {
	count    int
	interval time.Duration
	timeout  time.Duration
}

func newPing(g *cli.Globals) *cobra.Command {
	var p ping
	c := &cobra.Command{
		Use:   "ping TOPIC",
		Short: "See whether a host answers for a topic",
		Long: `Send a request to the host itself, by the way of every request: through the
topic, sealed with the key, answered to the reply topic. No plugin sees it, and it
leaves no trail. It prints which host answered, the state of the topic's plugin
there, and the time it took; of several pings any host may answer. A host answers
as soon as it reads the ping, and a topic with hundreds of requests waiting is
read on only when they are fewer.

It exits with 0 if each was answered, also where the plugin is down, and else as
"rrclient request" does.`,
		Example: `  rrclient ping calculate
  rrclient ping calculate --count 10 --interval 100ms
  rrclient ping calculate --json`,
		Args:              cli.Args("TOPIC"),
		ValidArgsFunction: completeTopics(g),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := g.Load()
			if err != nil {
				return err
			}
			if err := p.check(); err != nil {
				return cli.Usage(err)
			}
			c, err := open(cmd.Context(), cfg, p.timeout)
			if err != nil {
				return err
			}
			defer c.Close()
			return p.run(cmd.Context(), c, args[0], cmd.OutOrStdout(), g.JSON)
		},
	}
	c.Flags().IntVar(&p.count, "count", 1, "how many `pings`")
	c.Flags().DurationVar(&p.interval, "interval", pingInterval, "from one ping to the next")
	c.Flags().DurationVar(&p.timeout, "timeout", pingTimeout, "how long to wait for each answer")
	return c
}

func (p *ping) check() error {
	switch {
	case p.count < 1:
		return fmt.Errorf("--count %d is below 1", p.count)
	case p.interval <= 0:
		return fmt.Errorf("--interval %s is not above 0", p.interval)
	}
	return checkTimeout(p.timeout)
}

// run ends with the first ping that fails.
func (p *ping) run(ctx context.Context, c *client.Client, topic string, out io.Writer, asJSON bool) error {
	tick := time.NewTicker(p.interval)
	defer tick.Stop()
	for n := 1; ; n++ {
		pong, err := c.Ping(ctx, topic, client.WithTimeout(p.timeout))
		if err != nil {
			return failed(err)
		}
		if err := printPong(out, pong, asJSON); err != nil || n == p.count {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return failed(context.Cause(ctx))
		}
	}
}

// A pongLine is an answer as JSON.
type pongLine struct {
	RequestID string `json:"request_id"`
	Topic     string `json:"topic"`
	Host      string `json:"host"`
	Name      string `json:"name"`
	Plugin    string `json:"plugin"`
	Version   string `json:"version,omitempty"`
	State     string `json:"state"`
	Handler   string `json:"handler,omitempty"`
	TookUS    int64  `json:"took_us"`
}

func printPong(out io.Writer, p client.Pong, asJSON bool) error {
	if asJSON {
		return cli.PrintJSON(out, pongLine{p.RequestID, p.Topic, p.Host, p.Name, p.Plugin, p.Version, p.State, p.Handler, p.Took.Microseconds()})
	}
	plugin := p.Plugin
	if p.Version != "" {
		plugin += " " + p.Version
	}
	_, err := fmt.Fprintln(out, cli.Line(fmt.Sprintf("%s answers for %s in %s; plugin %s is %s",
		p.Name, p.Topic, p.Took.Round(10*time.Microsecond), plugin, p.State)))
	return err
}
