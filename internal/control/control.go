// Package control is how commands on the same machine talk to a running host:
// HTTP over a unix socket that its user alone can open, in the plugin store.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"rrhost/internal/httpserve"
)

// A Plugin is what a host knows of one plugin.
type Plugin struct {
	Name     string `json:"name"`
	Version  string `json:"version,omitempty"`
	Digest   string `json:"digest,omitempty"` // SHA-256 in hex of all its files
	State    string `json:"state"`
	Since    string `json:"since,omitempty"` // RFC 3339
	PID      int    `json:"pid,omitempty"`   // of the first instance
	Restarts int    `json:"restarts"`
	InFlight int    `json:"in_flight"`
	Waiting  int    `json:"waiting"`
	// Held: it kept failing by itself, and is tried every 30 s alone.
	Held bool `json:"held,omitempty"`
	// Pinned: a rollback keeps the directory's content from running.
	Pinned    bool     `json:"pinned,omitempty"`
	LastError string   `json:"last_error,omitempty"`
	LastLines []string `json:"last_lines,omitempty"`
	// Refused is why the directory's content does not run.
	Refused string `json:"refused,omitempty"`
	// Outside is a program that runs and was not verified, as an interpreter.
	Outside   string     `json:"outside,omitempty"`
	SDK       string     `json:"sdk,omitempty"`
	Topics    []string   `json:"topics,omitempty"`
	Handlers  []Handler  `json:"handlers,omitempty"`
	Instances []Instance `json:"instances,omitempty"`
}

// A Handler of a plugin, with its JSON Schemas where it has some.
type Handler struct {
	Name     string          `json:"name"`
	Request  json.RawMessage `json:"request,omitempty"`
	Response json.RawMessage `json:"response,omitempty"`
}

// An Instance is one process of a plugin.
type Instance struct {
	Number   int    `json:"number"`
	Version  string `json:"version,omitempty"`
	PID      int    `json:"pid,omitempty"`
	State    string `json:"state"`
	Since    string `json:"since"`
	InFlight int    `json:"in_flight"`
}

// A Host is what can be asked and told.
type Host interface {
	Plugins() []Plugin
	// Reload, Restart and Rollback return once the plugin is what was asked for, or why
	// it is not.
	Reload(ctx context.Context, plugin string) error
	Restart(ctx context.Context, plugin string) error
	Rollback(ctx context.Context, plugin string) error
}

// ErrUnknown is wrapped by a Host's error for a plugin that it does not have.
var ErrUnknown = errors.New("this host has no such plugin")

// Serve answers on a socket in dir until ctx is done.
func Serve(ctx context.Context, dir string, h Host) error {
	sweep(ctx, dir)
	name := fmt.Sprintf("host-%d.sock", os.Getpid())
	// It gets its name once it answers: one that does not is swept.
	silent := "." + name
	folder, path, err := reach(dir, silent)
	if err != nil {
		return err
	}
	defer folder.Close()
	_ = os.Remove(filepath.Join(dir, silent)) // of a process that had this number
	listener, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false) // the path is a way, not the name
	err = os.Chmod(filepath.Join(dir, silent), 0o600)
	if err == nil {
		err = os.Rename(filepath.Join(dir, silent), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("control socket: %w", err), listener.Close(), os.Remove(filepath.Join(dir, silent)))
	}
	defer os.Remove(filepath.Join(dir, name))
	server := &http.Server{Handler: mux(h), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	if err := httpserve.Serve(ctx, server, listener); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// sweep removes the sockets in dir of hosts that were killed.
func sweep(ctx context.Context, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // as who listens there will be told
	}
	for _, e := range entries {
		if e.Type() != os.ModeSocket || !socketName.MatchString(e.Name()) {
			continue
		}
		conn, err := dial(ctx, dir, e.Name())
		if err == nil {
			_ = conn.Close()
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// dial connects to a socket in dir.
func dial(ctx context.Context, dir, name string) (net.Conn, error) {
	folder, path, err := reach(dir, name)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}

func mux(h Host) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /plugins", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(h.Plugins()) // the reader is gone
	})
	order := func(do func(ctx context.Context, plugin string) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			switch err := do(r.Context(), r.PathValue("name")); {
			case errors.Is(err, ErrUnknown):
				http.Error(w, err.Error(), http.StatusNotFound)
			case err != nil:
				http.Error(w, err.Error(), http.StatusConflict)
			}
		}
	}
	m.HandleFunc("POST /plugins/{name}/reload", order(h.Reload))
	m.HandleFunc("POST /plugins/{name}/restart", order(h.Restart))
	m.HandleFunc("POST /plugins/{name}/rollback", order(h.Rollback))
	return m
}

var socketName = regexp.MustCompile(`^host-([1-9][0-9]*)\.sock$`)

// A Client talks to one running host.
type Client struct {
	PID  int // of the host
	http http.Client
}

// Dial finds the hosts that run with the plugin store in dir. There may be none.
func Dial(ctx context.Context, dir string) ([]*Client, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for hosts: %w", err)
	}
	var clients []*Client
	for _, e := range entries {
		m := socketName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		pid, err := strconv.Atoi(m[1])
		if err != nil {
			continue
		}
		conn, err := dial(ctx, dir, e.Name())
		if err != nil {
			continue // of a host that was killed
		}
		_ = conn.Close()
		clients = append(clients, &Client{PID: pid, http: http.Client{Transport: &http.Transport{
			DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, dir, e.Name()) },
			DisableKeepAlives: true,
		}}})
	}
	return clients, nil
}

// Plugins asks for all plugins.
func (c *Client) Plugins(ctx context.Context) ([]Plugin, error) {
	resp, err := c.do(ctx, http.MethodGet, "plugins")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var list []Plugin
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return nil, fmt.Errorf("ask host %d: %w", c.PID, err)
	}
	return list, nil
}

// Reload makes the host start what is in the directory in place of what runs.
func (c *Client) Reload(ctx context.Context, plugin string) error {
	return c.order(ctx, plugin, "reload")
}

// Restart makes it start what runs anew.
func (c *Client) Restart(ctx context.Context, plugin string) error {
	return c.order(ctx, plugin, "restart")
}

// Rollback makes it start what ran before.
func (c *Client) Rollback(ctx context.Context, plugin string) error {
	return c.order(ctx, plugin, "rollback")
}

func (c *Client) order(ctx context.Context, plugin, what string) error {
	resp, err := c.do(ctx, http.MethodPost, "plugins/"+url.PathEscape(plugin)+"/"+what)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// do makes a request; an answer that is not 200 is an error with its text.
func (c *Client) do(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://host/"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask host %d: %w", c.PID, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("ask host %d: %w", c.PID, err)
	}
	if resp.StatusCode == http.StatusNotFound {
		return nil, ErrUnknown
	}
	return nil, errors.New(string(trimNewline(text)))
}

func trimNewline(text []byte) []byte {
	for len(text) > 0 && text[len(text)-1] == '\n' {
		text = text[:len(text)-1]
	}
	return text
}
