package host

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"

	"rrhost/config"
	"rrhost/host/internal/dispatch"
	"rrhost/host/internal/supervise"
	"rrhost/internal/handler"
	"rrhost/internal/stream"
)

// inProcess names what answers where handlers run in the host itself.
const inProcess = "in-process"

// A server is what serves a set of topics: a plugin, or this process.
type server struct {
	name     string
	topics   []config.Topic
	lane     *dispatch.Lane
	handlers []handler.Handler // in this process; nil: a plugin

	mu      sync.Mutex        // guards all below
	plugin  *supervise.Plugin // nil before it was found, and in this process
	settled bool              // up, or known not to come up
}

// assign divides the topics among the plugins that they name and the handlers in
// this process.
func assign(cfg config.Config, handlers []handler.Handler) ([]*server, error) {
	names := make(map[string]bool)
	for _, h := range handlers {
		if names[h.Name()] {
			return nil, fmt.Errorf("two handlers are named %q", h.Name())
		}
		names[h.Name()] = true
	}
	var servers []*server
	of := make(map[string]*server)
	used := make(map[string]bool)
	for _, t := range cfg.Topics {
		name, local := t.Plugin, false
		for _, h := range []string{t.Handler, t.Name} {
			if h != "" && names[h] {
				name, local = inProcess, true
				used[h] = true
				break
			}
		}
		s := of[name]
		if s == nil {
			s = &server{name: name}
			if local {
				s.handlers = handlers
			}
			of[name] = s
			servers = append(servers, s)
		}
		s.topics = append(s.topics, t)
	}
	for _, s := range servers {
		concurrency := 0
		for _, t := range s.topics {
			concurrency += t.Concurrency
		}
		s.lane = dispatch.NewLane(s.name, concurrency)
	}
	for _, h := range handlers {
		if !used[h.Name()] {
			return nil, fmt.Errorf("no [[topic]] is served by the handler %q: name one so, or set its handler", h.Name())
		}
	}
	return servers, nil
}

// routes finds the handler of each topic among those that there are.
func (s *server) routes(have []string) map[string]dispatch.Route {
	routes := make(map[string]dispatch.Route, len(s.topics))
	for _, t := range s.topics {
		routes[t.Name] = route(s.name, t, have)
	}
	return routes
}

// route finds the handler of one topic: the one it names, else the only one, else
// the one of its name.
func route(plugin string, t config.Topic, have []string) dispatch.Route {
	list := strings.Join(have, ", ")
	switch {
	case t.Handler != "" && slices.Contains(have, t.Handler):
		return dispatch.Route{Handler: t.Handler}
	case t.Handler != "":
		return dispatch.Route{Problem: fmt.Sprintf("plugin %s has no handler %s; it has %s", plugin, t.Handler, list)}
	case len(have) == 1:
		return dispatch.Route{Handler: have[0]}
	case slices.Contains(have, t.Name):
		return dispatch.Route{Handler: t.Name}
	default:
		return dispatch.Route{Problem: fmt.Sprintf("plugin %s has several handlers (%s) and none is named like the topic %s: set handler in its [[topic]]", plugin, list, t.Name)}
	}
}

// startServers starts everything that handles requests; wg has its goroutines,
// which end with ctx.
func (h *Host) startServers(ctx context.Context, wg *sync.WaitGroup) {
	var names []string
	for _, s := range h.servers {
		if s.handlers == nil {
			names = append(names, s.name)
		}
	}
	found := make(map[string]supervise.Found)
	if len(names) > 0 {
		list, err := supervise.Find(h.cfg.Path(h.cfg.Plugins.Dir), names)
		for _, f := range list {
			found[f.Name] = f
		}
		for _, name := range names {
			if _, ok := found[name]; !ok {
				found[name] = supervise.Found{Name: name, Err: err}
			}
		}
	}
	for _, s := range h.servers {
		if s.handlers != nil {
			local := dispatch.NewLocal(s.handlers, h.cfg.Host.MaxPayload, h.logger)
			wg.Go(func() {
				<-ctx.Done()
				local.Close()
			})
			h.up(s, local, "", s.handlerNames())
			continue
		}
		h.supervise(ctx, wg, s, found[s.name])
	}
}

// supervise runs one plugin for as long as ctx lives.
func (h *Host) supervise(ctx context.Context, wg *sync.WaitGroup, s *server, found supervise.Found) {
	if found.Err != nil {
		h.logger.Error("plugin cannot be run", "plugin", s.name, "error", found.Err)
		h.reject(s, found.Err)
		return
	}
	p := supervise.New(supervise.Config{
		Name: found.Name, Path: found.Path, Dir: found.Dir, Version: found.Version,
		Env: h.cfg.Plugins.Env, StartTimeout: h.cfg.Plugins.StartTimeout,
		MaxPayload: h.cfg.Host.MaxPayload, Settings: h.cfg.Plugin[s.name].Config,
		Logger: h.logger.Named("plugin"),
		Up: func(i *supervise.Instance) {
			var have []string
			for _, about := range i.About().Handlers {
				have = append(have, about.Name)
			}
			h.up(s, i, found.Version, have)
		},
		Down: func(i *supervise.Instance, cause error) {
			s.lane.Down(i, causeText(cause))
		},
		Rejected: func(err error) { h.reject(s, err) },
		Events: func(e supervise.Event) {
			// A plugin that cannot be started is down for a reason that the
			// requester should hear.
			if e.Was == supervise.StateStarting && e.State.State == supervise.StateBackingOff {
				s.lane.Down(nil, causeText(e.LastError))
				h.settle(s)
			}
		},
	})
	s.mu.Lock()
	s.plugin = p
	s.mu.Unlock()
	wg.Go(func() {
		if err := p.Run(ctx); err != nil {
			h.logger.Error("supervision of a plugin ended", "plugin", s.name, "error", err)
		}
	})
}

func causeText(err error) string {
	if err == nil {
		return "it was stopped"
	}
	return err.Error()
}

func (s *server) handlerNames() []string {
	var names []string
	for _, h := range s.handlers {
		names = append(names, h.Name())
	}
	return names
}

func (h *Host) up(s *server, i dispatch.Instance, version string, have []string) {
	routes := s.routes(have)
	for topic, route := range routes {
		if route.Problem != "" {
			h.logger.Error("a topic has no handler", "topic", topic, "problem", route.Problem)
		}
	}
	s.lane.Up(i, version, routes)
	h.settle(s)
}

func (h *Host) reject(s *server, err error) {
	s.lane.Reject(err.Error())
	h.settle(s)
}

// settle notes that s is up, or known not to come up by itself soon.
func (h *Host) settle(s *server) {
	s.mu.Lock()
	s.settled = true
	s.mu.Unlock()
	h.checkReady()
}

// FindPlugins lists the plugins that cfg's topics name, with what is wrong with
// each, without starting any.
func FindPlugins(cfg config.Config) ([]FoundPlugin, error) {
	cfg = cfg.WithDefaults()
	servers, err := assign(cfg, nil)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range servers {
		names = append(names, s.name)
	}
	found, err := supervise.Find(cfg.Path(cfg.Plugins.Dir), names)
	if err != nil {
		return nil, err
	}
	var list []FoundPlugin
	for _, f := range found {
		path := f.Path
		if rel, err := filepath.Rel(cfg.Path("."), f.Path); err == nil && f.Path != "" {
			path = rel
		}
		list = append(list, FoundPlugin{Name: f.Name, Path: path, Version: f.Version, Err: f.Err})
	}
	return list, nil
}

// A FoundPlugin is a plugin in the plugin directory.
type FoundPlugin struct {
	Name    string
	Path    string // of the executable, relative to the configuration's folder
	Version string
	Err     error // why it cannot be run, and what to do; nil if it can
}

// NewLogger makes the logger of a [log] section, on standard error.
func NewLogger(cfg config.Log) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name: "rrhost", Level: hclog.LevelFromString(cfg.Level), JSONFormat: cfg.Format == "json",
	})
}

var _ dispatch.Instance = (*stream.Instance)(nil)
