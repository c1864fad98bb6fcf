package main

import (
	"bytes"
	"testing"

	"rrhost/plugin/plugintest"
)

func TestEcho(t *testing.T) {
	p := plugintest.Start(t, ".")
	for _, payload := range []string{`{"a":10,"b":5}`, ` [1, 2.50, "\u00e9"] `, `"ä"`, ``, string(bytes.Repeat([]byte("x"), 999_999))} {
		got, err := p.Do(t.Context(), "echo", []byte(payload))
		if err != nil || string(got) != payload {
			t.Errorf("%.20q (%d bytes): got %.20q, %v", payload, len(payload), got, err)
		}
	}
}
