package host_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"rrhost/client"
	"rrhost/config"
	"rrhost/host"
	"rrhost/plugin"
)

// TestAnsweredIsTold: a developer is told of every request: answered, refused by
// its handler, and not even opened.
func TestAnsweredIsTold(t *testing.T) {
	cfg := testConfig(t)
	told := make(chan host.Answered, 10)
	start(t, cfg, host.WithDevelopment(host.Development{Answered: func(a host.Answered) { told <- a }}),
		host.WithHandler(plugin.Handle("divide", func(_ context.Context, in sum) (total, error) {
			if in.B == 0 {
				return total{}, plugin.Errorf("division_by_zero", "b is 0")
			}
			return total{in.A / in.B}, nil
		})))
	c := open(t, cfg)
	stranger := cfg
	stranger.Encryption.Key = config.Secret(client.GenerateKey())
	s := open(t, stranger)

	tests := []struct {
		client            *client.Client
		payload           string
		status, code      string
		request, response string
	}{
		{c, `{"A":6,"B":2}`, "ok", "", `{"A":6,"B":2}`, `{"Result":3}`},
		{c, `{"A":6}`, "handler_error", "division_by_zero", `{"A":6}`, `{"code":"division_by_zero","message":"b is 0"}`},
		{s, `{"A":6,"B":2}`, "undecryptable", "", "", ""},
	}
	for _, tt := range tests {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := tt.client.Do(ctx, client.Request{Topic: "divide", Payload: []byte(tt.payload)})
		cancel()
		if (err == nil) != (tt.status == "ok") {
			t.Errorf("%s: %v", tt.status, err)
		}
		select {
		case a := <-told:
			if a.Topic != "divide" || a.RequestID == "" || a.Status != tt.status || a.Code != tt.code || a.Took <= 0 ||
				string(a.Request) != tt.request || string(a.Response) != tt.response {
				t.Errorf("told %+v (%s, %s), want %+v", a, a.Request, a.Response, tt)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("nobody was told of %s", tt.status)
		}
	}
}

// TestBuildBeforePlugins: plugins are built where the host can start, and nowhere
// else.
func TestBuildBeforePlugins(t *testing.T) {
	cfg := testConfig(t)
	echo := host.WithHandler(plugin.Handle("echo", func(_ context.Context, in sum) (sum, error) { return in, nil }))
	built := make(chan string, 10)
	build := func(name string) host.Option {
		return host.WithDevelopment(host.Development{Build: func(context.Context) { built <- name }})
	}
	start(t, cfg, echo, build("first"))
	second, err := host.New(cfg, echo, build("second"))
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); err == nil {
		t.Error("a second host started in the same folder")
	}
	if len(built) != 1 || <-built != "first" {
		t.Error("built for a host that cannot start, or not for the one that can")
	}
	ctx, cancel := context.WithCancel(t.Context())
	third, err := host.New(testConfig(t), echo, host.WithDevelopment(host.Development{Build: func(context.Context) { cancel() }}))
	if err != nil {
		t.Fatal(err)
	}
	if err := third.Run(ctx); err != nil {
		t.Errorf("stopped while it built: %v", err)
	}
}

// TestReloadPluginBeforeRun: a host that does not run says so.
func TestReloadPluginBeforeRun(t *testing.T) {
	cfg := testConfig(t)
	cfg.Topics = []config.Topic{{Name: "price"}}
	h, err := host.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.ReloadPlugin(t.Context(), "price"); err == nil || !strings.Contains(err.Error(), "does not run yet") {
		t.Errorf("before Run: %v", err)
	}
	if err := h.ReloadPlugin(t.Context(), "nobody"); err == nil || !strings.Contains(err.Error(), "no such plugin") {
		t.Errorf("of nobody: %v", err)
	}
}
