// Calculate is a plugin that does arithmetic on two numbers.
package main

import (
	"context"
	"math"

	"rrhost/plugin"
)

// Problem is what to calculate.
type Problem struct {
	A  *float64 `json:"a" jsonschema:"the first number"`
	B  *float64 `json:"b" jsonschema:"the second number"`
	Op string   `json:"op,omitempty" jsonschema:"add (default), sub, mul or div"`
}

// Answer is what came out.
type Answer struct {
	Result float64 `json:"result"`
}

func main() {
	plugin.Serve(plugin.Handle("calculate", calculate))
}

func calculate(_ context.Context, p Problem) (Answer, error) {
	if p.A == nil || p.B == nil {
		return Answer{}, plugin.Errorf("missing_operand", `"a" and "b" are needed, both numbers`)
	}
	result, err := apply(p.Op, *p.A, *p.B)
	if err != nil {
		return Answer{}, err
	}
	if math.IsInf(result, 0) || math.IsNaN(result) {
		return Answer{}, plugin.Errorf("overflow", "the result is too large for a 64-bit floating point number")
	}
	return Answer{Result: result}, nil
}

func apply(op string, a, b float64) (float64, error) {
	switch op {
	case "", "add":
		return a + b, nil
	case "sub":
		return a - b, nil
	case "mul":
		return a * b, nil
	case "div":
		if b == 0 {
			return 0, plugin.Errorf("division_by_zero", "a number cannot be divided by zero")
		}
		return a / b, nil
	}
	return 0, plugin.Errorf("unknown_op", `"op" is one of add, sub, mul and div`)
}
