package plugin_test

import (
	"context"
	"time"

	"rrhost/plugin"
)

type Sum struct{ A, B float64 }

type Total struct{ Result float64 }

// A whole plugin: build it, put it into the plugin directory, and name it in a
// [[topic]].
func ExampleServe() {
	plugin.Serve(plugin.Handle("calculate", func(_ context.Context, in Sum) (Total, error) {
		return Total{Result: in.A + in.B}, nil
	}))
}

// An error with a code reaches the requester as such.
func ExampleErrorf() {
	plugin.Handle("divide", func(ctx context.Context, in Sum) (Total, error) {
		if in.B == 0 {
			plugin.Logger(ctx).Debug("nothing to divide by")
			return Total{}, plugin.Errorf("division_by_zero", "b must not be zero")
		}
		return Total{Result: in.A / in.B}, nil
	})
}

// A schema of the author's own is stricter than types: the host refuses what does
// not fit, and the handler never sees it.
func ExampleHandler_WithRequestSchema() {
	plugin.Serve(plugin.Handle("divide", func(_ context.Context, in Sum) (Total, error) {
		return Total{Result: in.A / in.B}, nil
	}).WithRequestSchema(`{
		"type": "object",
		"properties": {
			"A": {"type": "number"},
			"B": {"type": "number", "exclusiveMinimum": 0}
		},
		"required": ["A", "B"],
		"additionalProperties": false
	}`))
}

// The plugin's own section of the configuration, [plugin.NAME.config].
func ExampleOnConfigure() {
	wait := time.Second
	plugin.OnConfigure(func(cfg struct {
		WaitMS int `json:"wait_ms"`
	}) error {
		if cfg.WaitMS < 0 {
			return plugin.Errorf("", "wait_ms must not be negative")
		}
		wait = time.Duration(cfg.WaitMS) * time.Millisecond
		return nil
	})
	plugin.Serve(plugin.HandleRaw("wait", func(ctx context.Context, payload []byte) ([]byte, error) {
		select {
		case <-time.After(wait):
			return payload, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}))
}
