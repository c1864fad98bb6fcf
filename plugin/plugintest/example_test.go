package plugintest_test

import (
	"context"
	"testing"

	"rrhost/plugin"
	"rrhost/plugin/plugintest"
)

type Sum struct{ A, B float64 }

type Total struct{ Result float64 }

func calculate(_ context.Context, in Sum) (Total, error) {
	return Total{Result: in.A + in.B}, nil
}

// Handlers in the test's own process.
func ExampleServe() {
	_ = func(t *testing.T) { // func TestCalculate(t *testing.T)
		p := plugintest.Serve(t, plugin.Handle("calculate", calculate))
		total, err := plugintest.Call[Total](t.Context(), p, "calculate", Sum{A: 10, B: 5})
		if err != nil || total.Result != 15 {
			t.Errorf("got %v, %v", total, err)
		}
	}
}

// The plugin in a process of its own, with its section of the configuration.
func ExampleStart() {
	_ = func(t *testing.T) { // func TestPlugin(t *testing.T)
		p := plugintest.Start(t, ".", plugintest.WithSettings(map[string]any{"digits": 2}))
		total, err := plugintest.Call[Total](t.Context(), p, "calculate", Sum{A: 10, B: 5})
		if err != nil || total.Result != 15 {
			t.Errorf("got %v, %v", total, err)
		}
	}
}

// A request that a host has tried before.
func ExampleWithInfo() {
	_ = func(t *testing.T) { // func TestSecondAttempt(t *testing.T)
		p := plugintest.Serve(t, plugin.Handle("calculate", calculate))
		ctx := plugintest.WithInfo(t.Context(), plugin.Info{Attempt: 2, Redelivered: true})
		if _, err := plugintest.Call[Total](ctx, p, "calculate", Sum{A: 10, B: 5}); err != nil {
			t.Error(err)
		}
	}
}
