package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"rrhost/cmd/internal/cli"
)

// Ctrl-C ends a request that still waits for its payload on standard input.
func TestReadPayloadInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stdin, typing := io.Pipe()
	defer typing.Close() // ends the reader
	go func() {
		_, _ = io.WriteString(typing, `{"a":`) // returns once it is read
		cancel(cli.ErrInterrupted)
	}()
	_, err := readPayload(ctx, "-", stdin, 100)
	if !errors.Is(err, cli.ErrInterrupted) || !strings.HasPrefix(err.Error(), "interrupted: read the request") {
		t.Errorf("readPayload = %v, want that it was interrupted", err)
	}
}
