package golden

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rrhost/client"
	"rrhost/internal/conformance"
	"rrhost/internal/process"
	"rrhost/internal/testprograms"
	"rrhost/internal/testservices"
)

// frozenPlugin is the frozen plugin, built once, in a folder of its own.
var frozenPlugin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "rrtest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	frozenPlugin = filepath.Join(dir, "frozen")
	code := 1
	if err := testprograms.Build(dir, "rrhost/test/golden/frozen"); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else if code = m.Run(); code == 0 {
		if err := goleak.Find(goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// TestFrozenIsFrozen: the frozen plugin's source has not been touched.
func TestFrozenIsFrozen(t *testing.T) {
	const want = "f715de95060632ee34ab57f41c50d22dcd32dccb330d605f5d577ebcaad4aec5"
	sum := sha256.New()
	for _, name := range []string{"main.go", "proto/doc.go", "proto/handler.pb.go", "proto/handler.proto", "proto/handler_grpc.pb.go"} {
		text, err := os.ReadFile(filepath.Join("frozen", name))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(sum, "%s %x\n", name, sha256.Sum256(text))
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		t.Errorf("the frozen plugin is not what it was (%s): leave it alone, and freeze another one beside it", got)
	}
}

// TestFrozenPluginConforms: today's demands are those of then, but for what came
// later and an old plugin cannot know.
func TestFrozenPluginConforms(t *testing.T) {
	testservices.Long(t)
	t.Parallel()
	later := []string{"token"}
	cfg := process.Config{Name: "frozen", Path: frozenPlugin, Dir: t.TempDir()}
	_, err := conformance.Run(t.Context(), cfg, conformance.Options{StartTimeout: 30 * time.Second}, func(r conformance.Result) {
		if r.Outcome == conformance.Failed && !slices.Contains(later, r.Case) {
			t.Errorf("%s: %s", r.Case, r.Seen)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestFrozenPluginServes: today's host and requester, and the plugin of then.
func TestFrozenPluginServes(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	c, err := client.Open(t.Context(), s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	type sum struct{ A, B int }
	total, err := client.Call[map[string]int](t.Context(), c, "calculate", sum{10, 5})
	if err != nil || total["result"] != 15 {
		t.Errorf("calculate: %v, %v", total, err)
	}
	if text, err := client.Call[string](t.Context(), c, "greeting", sum{}); err != nil || text != "hello" {
		t.Errorf("greeting: %q, %v", text, err)
	}
	var failed *client.HandlerError
	if _, err := client.Call[string](t.Context(), c, "fail", sum{}); !errors.As(err, &failed) || failed.Code != "no_such_account" || string(failed.Details) != `{"id":7}` {
		t.Errorf("fail: %v", err)
	}
	if _, err := client.Call[string](t.Context(), c, "calculate", map[string]string{"a": "x"}); client.StatusOf(err) != client.StatusInvalidPayload {
		t.Errorf("a payload that does not fit: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := client.Call[string](ctx, c, "wait", sum{}); err == nil {
		t.Error("wait: it was answered")
	}
	if total, err = client.Call[map[string]int](t.Context(), c, "calculate", sum{1, 1}); err != nil || total["result"] != 2 {
		t.Errorf("calculate, after all that: %v, %v", total, err)
	}
}

// install copies the frozen plugin into a plugin directory.
func install(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(frozenPlugin)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(dir, "frozen"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
}
