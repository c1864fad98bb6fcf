// Worker answers requests to the topic calculate in its own process, over the embedded broker.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"

	"rrhost/config"
	"rrhost/host"
	"rrhost/plugin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	add := func(_ context.Context, in struct{ A, B float64 }) (map[string]float64, error) {
		return map[string]float64{"result": in.A + in.B}, nil
	}
	h, err := host.New(config.Config{}, host.WithHandler(plugin.Handle("calculate", add)))
	if err = errors.Join(err, config.Config{}.MakeKey()); err == nil {
		err = h.Run(ctx) // until Ctrl-C
	}
	if err != nil {
		log.Fatal(err)
	}
}
