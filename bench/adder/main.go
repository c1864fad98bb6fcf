// Command adder is the plugin of the benchmark.
package main

import (
	"context"

	"rrhost/bench/internal/load"
	"rrhost/plugin"
)

func main() {
	plugin.Serve(plugin.Handle("adder", func(_ context.Context, q load.Request) (load.Response, error) {
		return load.Handle(q), nil
	}))
}
