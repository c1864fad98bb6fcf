package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// ReadPayload reads the JSON of a request from the command line, or from standard
// input where arg is "-", or from a file where it is "@FILE". It has at most most
// bytes. What is wrong with it is a mistake of the command line, unless ctx ended
// while it was read: the error is then the context's cause.
func ReadPayload(ctx context.Context, arg string, stdin io.Reader, most int) ([]byte, error) {
	payload, err := []byte(arg), error(nil)
	switch {
	case arg == "-":
		payload, err = Interruptible(ctx, func() ([]byte, error) { return readBounded(stdin, most) })
	case strings.HasPrefix(arg, "@"): // no JSON begins so
		payload, err = Interruptible(ctx, func() ([]byte, error) { return readFile(arg[1:], most) })
	}
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	if err != nil {
		return nil, Usage(fmt.Errorf("read the request: %w", err))
	}
	if err := checkJSON(payload); err != nil {
		return nil, Usage(err)
	}
	return payload, nil
}

// Interruptible reads until ctx ends. A terminal, a pipe or a library may know no
// context: its read then goes on until the process ends, which is at once.
func Interruptible[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		got T
		err error
	}
	done := make(chan result, 1)
	go func() {
		got, err := read()
		done <- result{got, err}
	}()
	select {
	case r := <-done:
		return r.got, r.err
	case <-ctx.Done():
		var nothing T
		return nothing, context.Cause(ctx)
	}
}

func readFile(name string, most int) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f, most)
}

// readBounded reads no more than a request may have and one byte.
func readBounded(r io.Reader, most int) ([]byte, error) {
	payload, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	if err == nil && len(payload) > most {
		err = fmt.Errorf("it is larger than host.max_payload, %d bytes", most)
	}
	return payload, err
}

// byteOrderMark is what some editors put before UTF-8; JSON has none.
var byteOrderMark = []byte("\ufeff")

// checkJSON says where payload is not JSON. It quotes none of it.
func checkJSON(payload []byte) error {
	switch {
	case len(bytes.TrimSpace(payload)) == 0:
		return Hint(errors.New("the request is empty"), "the smallest one is {}; - reads standard input, @FILE a file")
	case bytes.HasPrefix(payload, byteOrderMark):
		return Hint(errors.New("the request is not JSON: it begins with a byte order mark"), "save it as UTF-8 without one")
	}
	var raw json.RawMessage
	err := json.Unmarshal(payload, &raw)
	if err == nil {
		return nil
	}
	text := "the request is not JSON"
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		text += fmt.Sprintf(": wrong at byte %d of %d", syntax.Offset, len(payload))
	}
	return Hint(errors.New(text), `quote it for the shell, as in '{"a":10,"b":5}'; - reads standard input, @FILE a file`)
}

// PrintResponse prints a response on a line: as it came, but for what would do
// something to a terminal.
func PrintResponse(out io.Writer, payload []byte) error {
	if IsTerminal(out) {
		payload = []byte(Printable(string(payload)))
	}
	_, err := out.Write(append(payload, '\n'))
	return err
}
