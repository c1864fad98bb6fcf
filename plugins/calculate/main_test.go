package main

import (
	"encoding/json"
	"errors"
	"testing"

	"rrhost/plugin/plugintest"
)

// TestCalculate runs the plugin as the host does: in its own process.
func TestCalculate(t *testing.T) {
	p := plugintest.Start(t, ".")
	tests := []struct{ in, want string }{
		{`{"a":10,"b":5}`, `{"result":15}`},
		{`{"a":10,"b":5,"op":"add"}`, `{"result":15}`},
		{`{"a":10,"b":5,"op":"sub"}`, `{"result":5}`},
		{`{"a":10,"b":5,"op":"mul"}`, `{"result":50}`},
		{`{"a":10,"b":4,"op":"div"}`, `{"result":2.5}`},
		{`{"a":-0.5,"b":0}`, `{"result":-0.5}`},
		{`{"a":1e300,"b":1e300,"op":"add","note":"ignored"}`, `{"result":2e+300}`},
	}
	for _, tt := range tests {
		got, err := p.Do(t.Context(), "calculate", []byte(tt.in))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: got %s, %v; want %s", tt.in, got, err, tt.want)
		}
	}
}

func TestWhatCannotBeCalculated(t *testing.T) {
	p := plugintest.Start(t, ".")
	tests := []struct{ in, status, code string }{
		{`{"a":10,"b":0,"op":"div"}`, "handler_error", "division_by_zero"},
		{`{"a":0,"b":0,"op":"div"}`, "handler_error", "division_by_zero"},
		{`{"a":1e300,"b":1e300,"op":"mul"}`, "handler_error", "overflow"},
		{`{"a":1,"b":2,"op":"pow"}`, "handler_error", "unknown_op"},
		{`{"a":1}`, "handler_error", "missing_operand"},
		{`{"a":null,"b":1}`, "handler_error", "missing_operand"},
		{`{"a":"1","b":2}`, "invalid_payload", "invalid_payload"},
		{`{"a":1e999,"b":2}`, "invalid_payload", "invalid_payload"},
		{`[1,2]`, "invalid_payload", "invalid_payload"},
		{`1 + 2`, "invalid_payload", "invalid_payload"},
	}
	for _, tt := range tests {
		_, err := plugintest.Call[Answer](t.Context(), p, "calculate", json.RawMessage(tt.in))
		if tt.in == `1 + 2` {
			_, err = p.Do(t.Context(), "calculate", []byte(tt.in))
		}
		var fault *plugintest.Error
		if !errors.As(err, &fault) || fault.Status != tt.status || fault.Code != tt.code || fault.Message == "" {
			t.Errorf("%s: %v, want %s %s", tt.in, err, tt.status, tt.code)
		}
	}
}
