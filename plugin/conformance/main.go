// Conformance is the Go SDK's plugin for `rrhost plugin test`: its handlers do
// what docs/plugin-protocol.md says of the conformance handlers, which every SDK
// has a plugin with.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"rrhost/plugin"
)

// Settings are what Configure takes.
type Settings struct {
	Greeting *string `json:"greeting,omitempty"`
}

// configured is written once, before the first request.
var configured Settings

func main() {
	plugin.OnConfigure(func(s Settings) error {
		configured = s
		return nil
	})
	plugin.Serve(
		plugin.HandleRaw("echo", func(_ context.Context, payload []byte) ([]byte, error) { return payload, nil }),
		plugin.Handle("info", info),
		plugin.Handle("fail", fail),
		plugin.Handle("panic", func(_ context.Context, in Text) (struct{}, error) { panic("secret-" + in.Text) }),
		plugin.Handle("slow", slow),
		plugin.Handle("chatty", chatty),
		plugin.Handle("huge", func(_ context.Context, in Size) (string, error) { return strings.Repeat("x", in.Bytes), nil }),
		plugin.Handle("typed", func(_ context.Context, in Typed) (Typed, error) { return in, nil }),
		plugin.Handle("settings", func(context.Context, struct{}) (Settings, error) { return configured, nil }),
		plugin.Handle("exit", func(_ context.Context, in Exit) (struct{}, error) {
			os.Exit(in.Code)
			return struct{}{}, nil
		}),
	)
}

// What the handlers take and return.
type (
	// Info is what a handler can know of its request.
	Info struct {
		RequestID   string `json:"request_id"`
		Topic       string `json:"topic"`
		Handler     string `json:"handler"`
		Attempt     int    `json:"attempt"`
		Redelivered bool   `json:"redelivered"`
		RemainingMS int64  `json:"remaining_ms"`
		Traceparent string `json:"traceparent"`
	}
	// Failure is an error to be returned.
	Failure struct {
		Code    string          `json:"code"`
		Message string          `json:"message"`
		Details json.RawMessage `json:"details"`
	}
	// Text is what to panic with.
	Text struct {
		Text string `json:"text"`
	}
	// Wait is how long to take.
	Wait struct {
		MS int `json:"ms"`
	}
	// Slept is how long that was meant to be.
	Slept struct {
		SleptMS int `json:"slept_ms"`
	}
	// Chat is how much to say.
	Chat struct {
		Lines int `json:"lines"`
		Size  int `json:"size"`
	}
	// Said is how many lines that were.
	Said struct {
		Lines int `json:"lines"`
	}
	// Size is how much to answer.
	Size struct {
		Bytes int `json:"bytes"`
	}
	// Typed has fields of two types.
	Typed struct {
		Name  string `json:"name"`
		Count int    `json:"count"`
	}
	// Exit is how to end.
	Exit struct {
		Code int `json:"code"`
	}
)

func info(ctx context.Context, _ struct{}) (Info, error) {
	i, _ := plugin.InfoFrom(ctx)
	deadline, _ := ctx.Deadline()
	return Info{
		RequestID: plugin.RequestID(ctx), Topic: i.Topic, Handler: i.Handler, Attempt: i.Attempt, Redelivered: i.Redelivered,
		RemainingMS: time.Until(deadline).Milliseconds(), Traceparent: i.Traceparent,
	}, nil
}

func fail(_ context.Context, in Failure) (struct{}, error) {
	err := &plugin.Error{Code: in.Code, Message: in.Message}
	if in.Details != nil {
		err.Details = in.Details
	}
	return struct{}{}, err
}

func slow(ctx context.Context, in Wait) (Slept, error) {
	select {
	case <-time.After(time.Duration(in.MS) * time.Millisecond):
		return Slept{in.MS}, nil
	case <-ctx.Done():
		plugin.Logger(ctx).Info("slow was cancelled")
		return Slept{}, ctx.Err()
	}
}

func chatty(ctx context.Context, in Chat) (Said, error) {
	line := strings.Repeat("x", max(in.Size, 0))
	for range in.Lines {
		fmt.Println(line)
		fmt.Fprintln(os.Stderr, line)
		plugin.Logger(ctx).Info(line)
	}
	return Said{in.Lines}, nil
}
