// Command requester calls rrhost in a closed loop.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"rrhost/bench/internal/load"
	"rrhost/client"
	"rrhost/config"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "requester:", err)
		os.Exit(1)
	}
}

func run() error {
	var flags load.Flags
	flags.Register(flag.CommandLine)
	file := flag.String("config", "config.toml", "configuration file")
	topic := flag.String("topic", "adder", "request topic")
	flag.Parse()
	cfg, err := config.Load(*file)
	if err != nil {
		return err
	}
	c, err := client.Open(context.Background(), cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	return flags.Run(func(ctx context.Context, q load.Request) (load.Response, error) {
		return client.Call[load.Response](ctx, c, *topic, q)
	})
}
