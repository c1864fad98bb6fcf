// worker answers requests to the topic calculate in its own process.
package main

import (
	"context"
	"log"
	"os/signal"
	"syscall"

	"rrhost/config"
	"rrhost/host"
	"rrhost/plugin"
)

type sum struct{ A, B float64 }
type total struct {
	Result float64 `json:"result"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	cfg, err := config.Load("config.toml")
	if err != nil {
		log.Fatal(err)
	}
	cfg.Topics = nil // instead, one for each handler
	if err := cfg.MakeKey(); err != nil {
		log.Fatal(err)
	}
	calculate := plugin.Handle("calculate", func(_ context.Context, in sum) (total, error) {
		return total{in.A + in.B}, nil
	})
	h, err := host.New(cfg, host.WithHandler(calculate))
	if err != nil {
		log.Fatal(err)
	}
	if err := h.Run(ctx); err != nil { // until a signal
		log.Fatal(err)
	}
}
