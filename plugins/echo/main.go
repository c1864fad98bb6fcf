// Echo is a plugin that answers with what it was sent.
package main

import (
	"context"

	"rrhost/plugin"
)

func main() {
	plugin.Serve(plugin.HandleRaw("echo", echo))
}

func echo(_ context.Context, payload []byte) ([]byte, error) {
	return payload, nil
}
