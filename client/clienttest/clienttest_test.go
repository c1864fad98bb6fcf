package clienttest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rrhost/client"
	"rrhost/client/clienttest"
	"rrhost/plugin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type sum struct {
	A int `json:"a"`
	B int `json:"b"`
}

type total struct {
	Result int `json:"result"`
}

func add(_ context.Context, in sum) (total, error) { return total{in.A + in.B}, nil }

func Example() {
	c := clienttest.New(plugin.Handle("divide", func(_ context.Context, in sum) (total, error) {
		if in.B == 0 {
			return total{}, plugin.Errorf("division_by_zero", "cannot divide %d by zero", in.A)
		}
		return total{in.A / in.B}, nil
	})) // no Kafka needed
	defer c.Close()
	_, err := client.Call[total](context.Background(), c, "divide", sum{A: 10})
	var refused *client.HandlerError
	if errors.As(err, &refused) {
		fmt.Println(refused.Code, refused.Message)
	}
	// Output: division_by_zero cannot divide 10 by zero
}

func TestCall(t *testing.T) {
	c := clienttest.New(plugin.Handle("calculate", add), plugin.HandleRaw("echo", func(ctx context.Context, b []byte) ([]byte, error) { return b, nil }))
	defer c.Close()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if got, err := client.Call[total](t.Context(), c, "calculate", sum{i, 1}); err != nil || got.Result != i+1 {
				t.Errorf("Call = %+v, %v", got, err)
			}
		})
	}
	wg.Wait()
	r, err := c.Do(t.Context(), client.Request{Topic: "echo", Payload: []byte("any bytes")})
	if err != nil || string(r.Payload) != "any bytes" || r.Status != client.StatusOK || r.Attempt != 1 || r.RequestID == "" {
		t.Errorf("Do = %+v, %v", r, err)
	}
}

func TestErrors(t *testing.T) {
	c := clienttest.New(
		plugin.Handle("calculate", add),
		plugin.Handle("panics", func(context.Context, sum) (total, error) { panic("a secret") }),
		plugin.Handle("fails", func(context.Context, sum) (total, error) { return total{}, errors.New("out of paper") }),
		plugin.HandleRaw("huge", func(context.Context, []byte) ([]byte, error) { return make([]byte, 1_000_001), nil }),
	)
	defer c.Close()
	tests := []struct {
		topic   string
		payload string
		want    client.Status
		text    string
	}{
		{"calculate", `{"a":"ten"}`, client.StatusInvalidPayload, ""},
		{"calculate", `{`, client.StatusInvalidPayload, ""},
		{"panics", `{}`, client.StatusHandlerError, "panic"},
		{"fails", `{}`, client.StatusHandlerError, "out of paper"},
		{"huge", `{}`, client.StatusReplyTooLarge, ""},
		{"nowhere", `{}`, client.StatusNoHandler, "nowhere"},
	}
	for _, tt := range tests {
		r, err := c.Do(t.Context(), client.Request{Topic: tt.topic, Payload: []byte(tt.payload)})
		if got := client.StatusOf(err); got != tt.want || r.Status != tt.want {
			t.Errorf("%s %s: %v, status %q; want %q", tt.topic, tt.payload, err, got, tt.want)
			continue
		}
		if !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), r.RequestID) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", tt.topic, err)
		}
	}
	_, err := c.Do(t.Context(), client.Request{Topic: "calculate", Payload: make([]byte, 1_000_001)})
	if !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("a request of 1,000,001 bytes: %v", err)
	}
}

// TestOwnSchema: what a host refuses of a request, a test sees refused.
func TestOwnSchema(t *testing.T) {
	c := clienttest.New(plugin.Handle("calculate", add).WithRequestSchema(`{"properties":{"a":{"minimum":1}}}`))
	defer c.Close()
	if got, err := client.Call[total](t.Context(), c, "calculate", sum{1, 2}); err != nil || got.Result != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	_, err := client.Call[total](t.Context(), c, "calculate", sum{0, 2})
	if got := client.StatusOf(err); got != client.StatusInvalidPayload || !strings.Contains(err.Error(), `field "a" is below 1`) {
		t.Errorf("%v, want invalid_payload naming a", err)
	}
}

func TestTimeoutAndCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := make(chan error, 2)
		c := clienttest.New(plugin.Handle("slow", func(ctx context.Context, _ sum) (total, error) {
			<-ctx.Done()
			time.Sleep(time.Second) // it cleans up after its caller has gone
			stopped <- ctx.Err()
			return total{}, ctx.Err()
		}))
		start := time.Now()
		_, err := client.Call[total](t.Context(), c, "slow", sum{}, client.WithTimeout(3*time.Second))
		var timeout *client.TimeoutError
		if !errors.As(err, &timeout) || time.Since(start) != 3*time.Second || timeout.After != 3*time.Second {
			t.Errorf("Call = %v after %v", err, time.Since(start))
		}
		reason := errors.New("user pressed escape")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(reason) })
		if _, err := client.Call[total](ctx, c, "slow", sum{}); !errors.Is(err, reason) {
			t.Errorf("Call = %v, want the cause", err)
		}
		c.Close() // waits for the handlers
		if len(stopped) != 2 {
			t.Errorf("%d of 2 handlers were told to stop and did", len(stopped))
		}
	})
}

func TestClose(t *testing.T) {
	started := make(chan struct{})
	c := clienttest.New(plugin.Handle("slow", func(ctx context.Context, _ sum) (total, error) {
		close(started)
		<-ctx.Done()
		return total{}, ctx.Err()
	}))
	ended := make(chan error, 1)
	go func() {
		_, err := client.Call[total](t.Context(), c, "slow", sum{})
		ended <- err
	}()
	<-started
	for range 2 {
		if err := c.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	if err := <-ended; !errors.Is(err, client.ErrClosed) {
		t.Errorf("pending call: %v", err)
	}
	if _, err := client.Call[total](t.Context(), c, "slow", sum{}); !errors.Is(err, client.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for want, handlers := range map[string][]plugin.Handler{
		`two handlers are named "calculate"`:                         {plugin.Handle("calculate", add), plugin.Handle("calculate", add)},
		`the request schema of "calculate" cannot be used: schema: `: {plugin.Handle("calculate", add).WithRequestSchema(`{"type":5}`)},
	} {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, want) {
					t.Errorf("panic %s, want %s", text, want)
				}
			}()
			clienttest.New(handlers...).Close()
		}()
	}
}

func TestPingOfNoHandler(t *testing.T) {
	c := clienttest.New(plugin.Handle("add", add))
	defer c.Close()
	_, err := c.Ping(t.Context(), "nowhere")
	if got := client.StatusOf(err); got != client.StatusNoHandler {
		t.Errorf("Ping = %v, want no_handler", err)
	}
}
