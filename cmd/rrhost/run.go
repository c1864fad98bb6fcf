package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"rrhost/cmd/internal/cli"
	"rrhost/config"
	"rrhost/host"
)

func newRun(g *cli.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Answer requests until SIGINT or SIGTERM",
		Long: `Run the host: start the plugins that the topics name and answer requests.

SIGINT or SIGTERM ends it: it takes no more requests, and those in flight have
drain_timeout to finish. A second signal ends it at once; what was in flight is
then delivered again to the next host.

The log is on standard error, as JSON with --json.`,
		Example: `  rrhost run
  rrhost run --config /etc/rrhost/config.toml --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.Load()
			if err != nil {
				return err
			}
			if g.JSON {
				cfg.Log.Format = "json"
			}
			return serve(cmd.Context(), cfg, nil)
		},
	}
}

// serve runs a host until ctx is done. beside, if it is not nil, runs with it, and
// ends when its context does: with ctx, or with the host.
func serve(ctx context.Context, cfg config.Config, beside func(context.Context, *host.Host), opts ...host.Option) error {
	if err := cfg.MakeKey(); err != nil {
		return err
	}
	if _, err := cli.Keys(cfg); err != nil {
		return err
	}
	logger := host.NewLogger(cfg.Log)
	cli.TuneSarama(logger)
	collectLess()
	h, err := host.New(cfg, append(opts, host.WithLogger(logger))...)
	if err != nil {
		return cli.Usage(err)
	}
	over, end := context.WithCancel(context.WithoutCancel(ctx))
	var others sync.WaitGroup
	others.Go(func() { narrate(ctx, over, h, cfg, logger) })
	running, stop := context.WithCancel(ctx)
	if beside != nil {
		others.Go(func() { beside(running, h) })
	}
	err = h.Run(ctx)
	end()
	stop()
	others.Wait()
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil // stopped before it was up
	}
	return err
}

// collectLess trades some megabytes for time: a host keeps little beside what is
// in flight, and at full rate a tenth of its time would go to collecting that.
// The variable GOGC has the last word.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// narrate logs the host's beginning and end.
func narrate(ctx, over context.Context, h *host.Host, cfg config.Config, logger hclog.Logger) {
	select {
	case <-h.Ready():
		var topics []string
		for _, t := range cfg.Topics {
			topics = append(topics, t.Name)
		}
		logger.Info("ready", "topics", topics)
	case <-ctx.Done():
	case <-over.Done():
	}
	select {
	case <-ctx.Done():
		logger.Info("stopping: requests in flight may finish; a second signal ends at once",
			"drain_timeout", cfg.Host.DrainTimeout.String())
	case <-over.Done():
	}
	<-over.Done()
	if ctx.Err() != nil {
		logger.Info("stopped")
	}
}
