package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"rrhost/audit"
	"rrhost/client"
	"rrhost/config"
	"rrhost/host"
	"rrhost/internal/testservices"
	"rrhost/plugin"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

type sum struct{ A, B int }
type total struct{ Result int }

func calculate(_ context.Context, in sum) (total, error) { return total{in.A + in.B}, nil }

// freeAddress is a loopback address that nobody listens on now.
func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := testservices.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// testConfig is a host with the embedded broker in a folder of its own.
func testConfig(t *testing.T) config.Config {
	t.Helper()
	cfg := config.Config{
		Dir:      t.TempDir(),
		Embedded: config.EmbeddedBroker{Listen: freeAddress(t)},
		Admin:    config.Admin{Listen: freeAddress(t)},
		Replies:  config.Replies{Partitions: 2},
	}
	if err := cfg.WithDefaults().MakeKey(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs a host until the test ends, or stop is called.
func start(t *testing.T, cfg config.Config, opts ...host.Option) (log *logBuffer, stop func()) {
	t.Helper()
	log = new(logBuffer)
	opts = append(opts, host.WithLogger(hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Debug})))
	h, err := host.New(cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	select {
	case <-h.Ready():
	case err := <-ended:
		ended <- err
		t.Fatalf("Run ended: %v\n%s", err, log)
	case <-time.After(30 * time.Second):
		t.Fatalf("not ready in time\n%s", log)
	}
	return log, stop
}

func open(t *testing.T, cfg config.Config) *client.Client {
	t.Helper()
	c, err := client.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// openTrail opens the trail, which is made beside the first requests.
func openTrail(t *testing.T, cfg config.Config) *audit.Reader {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		trail, err := audit.Open(t.Context(), cfg)
		if err == nil {
			return trail
		}
		if !errors.Is(err, audit.ErrNoTrail) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// A handler's schema may ask for more than its types: the host holds requests
// against it, and the handler sees none that does not fit.
func TestRequestsAreHeldAgainstTheSchema(t *testing.T) {
	cfg := testConfig(t)
	var ran atomic.Int32
	log, _ := start(t, cfg, host.WithHandler(plugin.Handle("calculate", func(ctx context.Context, in sum) (total, error) {
		ran.Add(1)
		return calculate(ctx, in)
	}).WithRequestSchema(`{"type":"object","properties":{"A":{"type":"integer","minimum":1}},"required":["A"]}`),
		plugin.Handle("loose", calculate).WithRequestSchema(`{"type":"fish"}`)))
	c := open(t, cfg)
	for _, payload := range []string{`{"A":-4711}`, `{"B":1}`} {
		var rejected *client.RejectedError
		_, err := client.Call[total](t.Context(), c, "calculate", json.RawMessage(payload))
		if !errors.As(err, &rejected) || rejected.Status != client.StatusInvalidPayload || !strings.Contains(err.Error(), `"A"`) || strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: %v, want invalid_payload that names A and not its value", payload, err)
		}
	}
	if got, err := client.Call[total](t.Context(), c, "calculate", json.RawMessage(`{"A":1,"C":2}`)); err != nil || got.Result != 1 {
		t.Errorf("what fits: %+v, %v", got, err)
	}
	if n := ran.Load(); n != 1 {
		t.Errorf("the handler ran %d times, want once", n)
	}
	if got, err := client.Call[total](t.Context(), c, "loose", sum{1, 2}); err != nil || got.Result != 3 {
		t.Errorf("with a schema that cannot be used: %+v, %v", got, err)
	}
	if !regexp.MustCompile(`\[ERROR\].*requests are not checked.*handler=loose`).MatchString(log.String()) {
		t.Errorf("nobody is told of a schema that cannot be used:\n%s", log)
	}
}

// A requester's max_payload may be larger than the host's. What is above the
// host's is more than the connection to a plugin takes, which would end it.
func TestPayloadAboveTheHostsBound(t *testing.T) {
	cfg := testConfig(t)
	bounded := cfg
	bounded.Host.MaxPayload = 2000
	var ran atomic.Int32
	start(t, bounded, host.WithHandler(plugin.HandleRaw("echo", func(_ context.Context, payload []byte) ([]byte, error) {
		ran.Add(1)
		return payload, nil
	})))
	c := open(t, cfg)
	if _, err := c.Do(t.Context(), client.Request{Topic: "echo", Payload: make([]byte, 2000)}); err != nil {
		t.Errorf("what fits: %v", err)
	}
	var rejected *client.RejectedError
	_, err := c.Do(t.Context(), client.Request{Topic: "echo", Payload: make([]byte, 2001)})
	if !errors.As(err, &rejected) || rejected.Status != client.StatusInvalidPayload || !strings.Contains(rejected.Message, "2001 bytes") {
		t.Errorf("a byte more: %v, want invalid_payload that names the size", err)
	}
	if n := ran.Load(); n != 1 {
		t.Errorf("the handler ran %d times, want once", n)
	}
}

func TestHandlersInThisProcess(t *testing.T) {
	cfg := testConfig(t)
	log, stop := start(t, cfg, host.WithHandler(
		plugin.Handle("calculate", calculate),
		plugin.Handle("fail", func(context.Context, sum) (total, error) {
			return total{}, &plugin.Error{Code: "no_such_account", Message: "canary-message", Details: map[string]int{"n": 1}}
		}),
		plugin.Handle("panic", func(context.Context, sum) (total, error) { panic("canary-panic") }),
	))
	c := open(t, cfg)
	got, err := client.Call[total](t.Context(), c, "calculate", sum{10, 5})
	if err != nil || got.Result != 15 {
		t.Fatalf("calculate = %+v, %v; want 15", got, err)
	}
	var handlerErr *client.HandlerError
	if _, err = client.Call[total](t.Context(), c, "fail", sum{}); !errors.As(err, &handlerErr) || handlerErr.Code != "no_such_account" ||
		handlerErr.Message != "canary-message" || string(handlerErr.Details) != `{"n":1}` {
		t.Errorf("fail: %v, want the handler's own error", err)
	}
	failed := handlerErr.RequestID
	if _, err = client.Call[total](t.Context(), c, "panic", sum{}); !errors.As(err, &handlerErr) || handlerErr.Code != "panic" {
		t.Errorf("panic: %v, want a handler error", err)
	}
	var rejected *client.RejectedError
	if _, err = client.Call[total](t.Context(), c, "calculate", "no sum"); !errors.As(err, &rejected) || rejected.Status != client.StatusInvalidPayload {
		t.Errorf("a payload of the wrong type: %v, want invalid_payload", err)
	}

	// The trail has both rows of the failure, opened only with the key.
	trail := openTrail(t, cfg)
	defer trail.Close()
	rows, err := trail.WaitOutcome(t.Context(), failed, 20*time.Second)
	if err != nil || len(rows) != 2 {
		t.Fatalf("trail has %d rows, %v; want 2\n%s", len(rows), err, log)
	}

	if status, body := get(t, "http://"+cfg.Admin.Listen+"/readyz"); status != 200 || !strings.HasPrefix(body, "ok") {
		t.Errorf("/readyz = %d %q", status, body)
	}
	_, metrics := get(t, "http://"+cfg.Admin.Listen+"/metrics")
	for _, want := range []string{
		`rrhost_requests_total{status="ok",topic="calculate"} 1`,
		`rrhost_requests_total{status="handler_error",topic="fail"} 1`,
		`rrhost_plugin_up{plugin="in-process"} 1`,
		`rrhost_stage_seconds_count{stage="reply",topic="calculate"} 2`,
		`rrhost_lag{partition="0",topic="calculate"} 0`,
		`rrhost_audit_failing 0`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	stop()
	for _, secret := range []string{"canary-message", "canary-panic"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// What is in flight at the end is let finish, and answered.
func TestShutdownAnswersWhatRuns(t *testing.T) {
	cfg := testConfig(t)
	began, release := make(chan struct{}), make(chan struct{})
	_, stop := start(t, cfg, host.WithHandler(plugin.Handle("slow", func(context.Context, sum) (total, error) {
		close(began)
		<-release
		return total{1}, nil
	})))
	c := open(t, cfg)
	answer := make(chan error, 1)
	go func() {
		_, err := client.Call[total](context.Background(), c, "slow", sum{})
		answer <- err
	}()
	<-began
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	close(release)
	<-stopped
	if err := <-answer; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
}

func TestWhatCannotBeServedIsSaidAtOnce(t *testing.T) {
	cfg := testConfig(t)
	cfg.Topics = []config.Topic{{Name: "calculate"}, {Name: "lost", Plugin: "nowhere"}}
	if err := os.Mkdir(cfg.Path("plugins"), 0o700); err != nil {
		t.Fatal(err)
	}
	start(t, cfg, host.WithHandler(plugin.Handle("calculate", calculate)))
	c := open(t, cfg)
	began := time.Now()
	_, err := client.Call[total](t.Context(), c, "lost", sum{})
	var rejected *client.RejectedError
	if !errors.As(err, &rejected) || rejected.Status != client.StatusPluginUnavailable || !strings.Contains(rejected.Message, "plugin nowhere cannot be run") {
		t.Errorf("err = %v, want plugin_unavailable", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if status, body := get(t, "http://"+cfg.Admin.Listen+"/readyz"); status != 503 || !strings.Contains(body, "there is no plugin nowhere") {
		t.Errorf("/readyz = %d %q, want the plugin named", status, body)
	}
}

func TestWrongKeyIsToldAtOnce(t *testing.T) {
	cfg := testConfig(t)
	start(t, cfg, host.WithHandler(plugin.Handle("calculate", calculate)))
	other := cfg
	other.Encryption.Key = config.Secret(client.GenerateKey())
	c := open(t, other)
	began := time.Now()
	_, err := client.Call[total](t.Context(), c, "calculate", sum{10, 5})
	var rejected *client.RejectedError
	if !errors.As(err, &rejected) || rejected.Status != client.StatusUndecryptable || rejected.Authenticated || rejected.Hint == "" {
		t.Errorf("err = %#v, want undecryptable with a hint", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestDeadlineReachesTheHandler(t *testing.T) {
	cfg := testConfig(t)
	ended := make(chan error, 1)
	start(t, cfg, host.WithHandler(plugin.Handle("slow", func(ctx context.Context, _ sum) (total, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return total{}, ctx.Err()
	})))
	c := open(t, cfg)
	_, err := client.Call[total](t.Context(), c, "slow", sum{}, client.WithTimeout(2*time.Second)) // in which it gets there
	var timeout *client.TimeoutError
	var rejected *client.RejectedError
	if !errors.As(err, &timeout) && !(errors.As(err, &rejected) && rejected.Status == client.StatusDeadlineExceeded) {
		t.Errorf("err = %v, want a timeout", err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the handler's context did not end")
	}
}

func TestConcurrentCallsGetTheirOwnReplies(t *testing.T) {
	cfg := testConfig(t)
	cfg.Topics = []config.Topic{{Name: "echo", Concurrency: 16}}
	start(t, cfg, host.WithHandler(plugin.HandleRaw("echo", func(_ context.Context, in []byte) ([]byte, error) { return in, nil })))
	c := open(t, cfg)
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			want := fmt.Sprintf(`{"n":%d}`, i)
			got, err := client.Call[json.RawMessage](context.Background(), c, "echo", json.RawMessage(want))
			if err != nil || string(got) != want {
				t.Errorf("%s: got %s, %v", want, got, err)
			}
		})
	}
	wg.Wait()
}

func TestNewReportsMistakes(t *testing.T) {
	calc := plugin.Handle("calculate", calculate)
	tests := []struct {
		name string
		cfg  config.Config
		opts []host.Option
		want string
	}{
		{"nothing to serve", config.Config{}, nil, "no [[topic]]"},
		{"a handler twice", config.Config{}, []host.Option{host.WithHandler(calc, calc)}, `calculate`},
		{"a handler for no topic", config.Config{Topics: []config.Topic{{Name: "other"}}}, []host.Option{host.WithHandler(calc)}, `no [[topic]] is served by the handler "calculate"`},
		{"the configuration's own", config.Config{Log: config.Log{Level: "loud"}}, []host.Option{host.WithHandler(calc)}, "log.level"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := host.New(tt.cfg, tt.opts...); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %v, want %q in it", err, tt.want)
			}
		})
	}
}
