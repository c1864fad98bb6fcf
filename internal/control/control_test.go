package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

type fake struct{ ordered []string }

func (f *fake) Plugins() []Plugin {
	return []Plugin{{Name: "p", State: "ready", Instances: []Instance{{Number: 1, PID: 7}}}}
}

func (f *fake) Reload(_ context.Context, plugin string) error {
	if plugin == "other" {
		return ErrUnknown
	}
	f.ordered = append(f.ordered, "reload "+plugin)
	return nil
}

func (f *fake) Restart(_ context.Context, plugin string) error {
	f.ordered = append(f.ordered, "restart "+plugin)
	return nil
}

func (f *fake) Rollback(context.Context, string) error { return errors.New("no earlier build") }

func TestControl(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if clients, err := Dial(t.Context(), dir); err != nil || len(clients) != 0 {
		t.Fatalf("%d hosts, %v", len(clients), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "host-1.sock"), nil, 0o600); err != nil { // no socket
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	host := new(fake)
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, dir, host) }()
	var clients []*Client
	for len(clients) == 0 {
		var err error
		if clients, err = Dial(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			t.Fatal(err)
		default:
		}
	}
	c := clients[0]
	if len(clients) != 1 || c.PID != os.Getpid() {
		t.Errorf("%d hosts, the first is %d", len(clients), c.PID)
	}
	if got, err := c.Plugins(t.Context()); err != nil || !reflect.DeepEqual(got, host.Plugins()) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := c.Reload(t.Context(), "a b/c"); err != nil {
		t.Error(err)
	}
	if err := c.Reload(t.Context(), "other"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if err := c.Restart(t.Context(), "p"); err != nil {
		t.Error(err)
	}
	if err := c.Rollback(t.Context(), "p"); err == nil || err.Error() != "no earlier build" {
		t.Error(err)
	}
	info, err := os.Stat(filepath.Join(dir, filepath.Base(socketOf(dir, t))))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if want := []string{"reload a b/c", "restart p"}; !reflect.DeepEqual(host.ordered, want) {
		t.Errorf("ordered %q, want %q", host.ordered, want)
	}
	if clients, err := Dial(t.Context(), dir); err != nil || len(clients) != 0 {
		t.Errorf("after the end: %d hosts, %v", len(clients), err)
	}
}

// A host that is killed leaves its socket, which the next one removes. Those that
// answer, and what is no host's, stay.
func TestSocketsOfKilledHosts(t *testing.T) {
	dir := t.TempDir()
	listen := func(name string) *net.UnixListener {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l.(*net.UnixListener)
	}
	for _, name := range []string{"host-11.sock", "host-12.sock", "plugin.sock"} {
		l := listen(name)
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	listen("host-13.sock")
	for _, name := range []string{"host-14.sock", "tax.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, dir, new(fake)) }()
	own := fmt.Sprintf("host-%d.sock", os.Getpid())
	for there := false; !there; {
		clients, err := Dial(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		there = slices.ContainsFunc(clients, func(c *Client) bool { return c.PID == os.Getpid() })
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	want := []string{"host-13.sock", "host-14.sock", own, "plugin.sock", "tax.json"}
	if slices.Sort(want); !slices.Equal(left, want) {
		t.Errorf("left are %q, want %q", left, want)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func socketOf(dir string, t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Type()&os.ModeSocket != 0 {
			return e.Name()
		}
	}
	t.Fatal("no socket")
	return ""
}
