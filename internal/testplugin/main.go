// Testplugin is a plugin that misbehaves on request, for tests of what is around
// it. Every handler answers with its nonce and a function of it, so that a test
// can tell its own answer from another's.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"time"

	"rrhost/plugin"
)

// Order is what the handler shall do before it answers.
type Order struct {
	// Do is one of:
	//   ""      answer at once
	//   sleep   wait MS milliseconds, or until the context ends, which is an error
	//   hang    wait MS milliseconds whatever the context does; 0: for ever
	//   fail    return an error with code Code, or without one
	//   panic   panic with Text, which must not be seen anywhere
	//   goexit  end the goroutine
	//   exit    exit with code MS, at the first attempt only if Once
	//   crash   panic in another goroutine, which ends the process
	//   log     log Text
	//   print   print Text to stdout, and to stderr
	//   flood   answer with MS bytes more
	//   wait    until the file Text exists
	//   settings  answer with the text of the configuration
	//   env     answer with the value of the environment variable Text
	//   eat     take MS MiB of memory, and keep them until the context ends
	//   fork    start a child that outlives its parent, and answer with its pid
	Do    string `json:"do,omitempty"`
	MS    int    `json:"ms,omitempty"`
	Once  bool   `json:"once,omitempty"`
	Code  string `json:"code,omitempty"`
	Text  string `json:"text,omitempty"`
	Nonce string `json:"nonce,omitempty"`
}

// Report is the answer.
type Report struct {
	Nonce       string `json:"nonce"`
	F           string `json:"f"` // hex SHA-256 of the nonce
	Attempt     int    `json:"attempt"`
	Redelivered bool   `json:"redelivered"`
	RequestID   string `json:"request_id"`
	PID         int    `json:"pid"`
	Text        string `json:"text,omitempty"`
}

func main() {
	plugin.OnConfigure(configure)
	plugin.Serve(
		plugin.Handle("work", work),
		plugin.HandleRaw("echo", func(_ context.Context, payload []byte) ([]byte, error) { return payload, nil }),
	)
}

// Settings let a test see that they arrive, and are refused.
type Settings struct {
	Refuse bool   `json:"refuse"`
	Text   string `json:"text"`
}

var configured Settings

func configure(s Settings) error {
	if s.Refuse {
		return errors.New("refuse is set")
	}
	configured = s
	return nil
}

func work(ctx context.Context, o Order) (Report, error) {
	info, _ := plugin.InfoFrom(ctx)
	sum := sha256.Sum256([]byte(o.Nonce))
	r := Report{
		Nonce: o.Nonce, F: hex.EncodeToString(sum[:]),
		Attempt: info.Attempt, Redelivered: info.Redelivered, RequestID: info.RequestID, PID: os.Getpid(),
	}
	pause := time.Duration(o.MS) * time.Millisecond
	switch o.Do {
	case "":
	case "sleep":
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return r, ctx.Err()
		}
	case "hang":
		if o.MS == 0 {
			select {}
		}
		time.Sleep(pause)
	case "fail":
		if o.Code == "" {
			return r, errors.New(o.Text)
		}
		return r, plugin.Errorf(o.Code, "%s", o.Text)
	case "panic":
		panic(o.Text)
	case "log":
		plugin.Logger(ctx).Info(o.Text, "nonce", o.Nonce)
	case "flood":
		r.Text = strings.Repeat("x", o.MS)
	case "settings":
		r.Text = configured.Text
	default:
		return r, misbehave(ctx, o, info, &r)
	}
	return r, nil
}
