package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"rrhost/client"
	"rrhost/config"
	"rrhost/internal/testservices"
)

// jsonOf is a JSON text of so many bytes.
func jsonOf(size int) []byte {
	text := bytes.Repeat([]byte("x"), size)
	text[0], text[size-1] = '"', '"'
	return text
}

// The largest payload that can be configured passes, there and back; a larger one
// is refused before it is sent, and `rrhost check` names what is in the way.
func TestLargestPayload(t *testing.T) {
	testservices.Long(t)
	t.Cleanup(debug.FreeOSMemory)
	onBoth(t, func(t *testing.T, b backend) {
		s := newSite(t, b, layout{
			topics:  "[[topic]]\nname = \"echo-@\"\nplugin = \"echo\"\npartitions = 1\ntimeout = \"2m\"\n",
			plugins: map[string]string{"echo": "echo"},
			more:    map[string]string{"host": fmt.Sprintf("max_payload = %d\nmax_inflight_bytes = \"256MiB\"\n", config.MaxMaxPayload), "log": "level = \"info\"\n"},
		})
		s.start()
		if got := s.command(program(t, "rrhost"), "check", "--config", s.dir+"/config.toml"); got.code != 0 || !strings.Contains(got.stdout, fmt.Sprintf("payloads: up to host.max_payload, %d bytes, pass", config.MaxMaxPayload)) {
			t.Errorf("check exits with %d:\n%s", got.code, got.stdout)
		}
		c := s.client(client.WithDefaultTimeout(2 * time.Minute))
		for _, size := range []int{config.MaxMaxPayload, 20 << 20, 2} {
			payload := jsonOf(size)
			begun := time.Now()
			reply, err := c.Do(t.Context(), client.Request{Topic: s.topic("echo"), Payload: payload})
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			if !bytes.Equal(reply.Payload, payload) {
				t.Errorf("%d bytes came back as %d others", size, len(reply.Payload))
			}
			t.Logf("%d bytes there and back: %s", size, time.Since(begun))
		}
		begun := time.Now()
		_, err := c.Do(t.Context(), client.Request{Topic: s.topic("echo"), Payload: jsonOf(config.MaxMaxPayload + 1)})
		if !errors.Is(err, client.ErrTooLarge) || time.Since(begun) > 5*time.Second {
			t.Errorf("one byte more ends after %s with %v", time.Since(begun), err)
		}
		// The trail has them all, where it has no room for the payload without.
		until(t, time.Minute, func() string {
			if rows := s.trail(); len(rows) != 6 {
				return fmt.Sprintf("the trail has %d rows, want 6", len(rows))
			}
			return ""
		})

		// A topic that takes less than max_payload.
		limit := "1048576"
		out := s.outside()
		defer out.Close()
		if _, err := kadm.NewClient(out).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &limit}}, s.topic("echo")); err != nil {
			t.Fatal(err)
		}
		got := s.command(program(t, "rrhost"), "check", "--config", s.dir+"/config.toml")
		if got.code != 1 || !strings.Contains(got.stdout, "wrong  request topic "+s.topic("echo")+": max.message.bytes is 1048576, host.max_payload needs ") {
			t.Errorf("check exits with %d:\n%s", got.code, got.stdout)
		}
		if _, err := c.Do(t.Context(), client.Request{Topic: s.topic("echo"), Payload: jsonOf(2 << 20)}); !errors.Is(err, client.ErrTooLarge) {
			t.Errorf("more than the topic takes ends with %v", err)
		}
	})
}
