package host

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"

	"rrhost/config"
	"rrhost/host/internal/dispatch"
	"rrhost/host/internal/supervise"
	"rrhost/internal/guard"
	"rrhost/internal/handler"
	"rrhost/internal/plugindir"
	"rrhost/internal/process"
	"rrhost/internal/schema"
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

	mu      sync.Mutex // guards all below
	plugin  supervised // nil before the start, and in this process
	settled bool       // up, or known not to come up
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
func (r *run) startServers(ctx context.Context, wg *sync.WaitGroup) {
	h := r.Host
	for _, s := range h.servers {
		if s.handlers != nil {
			local := dispatch.NewLocal(s.handlers, h.cfg.Host.MaxPayload, h.logger)
			wg.Go(func() {
				<-ctx.Done()
				s.lane.Wait() // it may be about to start one there
				local.Close()
			})
			s.lane.Up(local, "", h.routes(s, s.handlerInfos()))
			h.settle(s)
			continue
		}
		c := supervision(h.cfg, s.name, h.store)
		c.Traffic, c.Logger = &traffic{h, s}, h.logger.Named("plugin")
		c.Events = func(e supervise.Event) {
			r.metrics.Transition(e)
			h.changed()
		}
		p := h.supervise(c)
		s.mu.Lock()
		s.plugin = p
		s.mu.Unlock()
		wg.Go(func() {
			p.Run(ctx)
			s.lane.Wait()
		})
	}
}

// supervision is how a plugin is to be kept running.
func supervision(cfg config.Config, plugin string, store *plugindir.Store) supervise.Config {
	own := cfg.Plugin[plugin]
	return supervise.Config{
		Name: plugin, Dir: cfg.Path(cfg.Plugins.Dir), Store: store,
		Strict: cfg.Plugins.Trust == "strict", Locked: cfg.Plugins.Verify == "lock",
		Process: process.Config{
			MaxPayload: cfg.Host.MaxPayload, Settings: own.Config,
			User: own.User, Limits: guard.Limits{Memory: own.Memory, MilliCPUs: own.MilliCPUs, OpenFiles: own.OpenFiles},
		},
		Allowed: cfg.Plugins.Env, Instances: own.Instances,
		StartTimeout: cfg.Plugins.StartTimeout,
		Place: func(keys ...string) string {
			return cfg.Place(append([]string{"plugin", plugin, "config"}, keys...)...)
		},
	}
}

// traffic brings what a supervisor has to tell to a server's lane.
type traffic struct {
	host *Host
	*server
}

func (t *traffic) Join(i *supervise.Instance, b plugindir.Build) {
	t.lane.Up(i, b.Version, t.host.routes(t.server, i.About().Handlers))
	t.host.settle(t.server)
}

func (t *traffic) Switch(to []*supervise.Instance, b plugindir.Build) {
	defer t.host.changed()
	list := make([]dispatch.Instance, len(to))
	for n, i := range to {
		list[n] = i
	}
	t.lane.Switch(list, b.Version, t.host.routes(t.server, to[0].About().Handlers))
}

func (t *traffic) Retire(i *supervise.Instance) { t.lane.Retire(i) }

func (t *traffic) Drained(i *supervise.Instance) <-chan struct{} { return t.lane.Drained(i) }

func (t *traffic) Running(i *supervise.Instance) int { return t.lane.Running(i) }

func (t *traffic) Leave(i *supervise.Instance, cause error) {
	if i != nil {
		t.lane.Down(i, causeText(cause))
		return
	}
	// A plugin that cannot be started is down for a reason that the requester
	// should hear.
	t.lane.Down(nil, causeText(cause))
	t.host.settle(t.server)
}

func (t *traffic) Reject(cause error) {
	t.lane.Reject(causeText(cause))
	t.host.settle(t.server)
}

func causeText(err error) string {
	if err == nil {
		return "it was stopped"
	}
	return err.Error()
}

func (s *server) handlerInfos() []stream.HandlerInfo {
	var infos []stream.HandlerInfo
	for _, h := range s.handlers {
		infos = append(infos, stream.HandlerInfo{Name: h.Name(), RequestSchema: h.RequestSchema(), ResponseSchema: h.ResponseSchema(), ChecksPayload: h.ChecksPayload()})
	}
	return infos
}

// routes finds the handler of each topic of s among those that there are, and
// tells about topics that have none.
func (h *Host) routes(s *server, infos []stream.HandlerInfo) map[string]dispatch.Route {
	var have []string
	schemas := make(map[string]*schema.Schema)
	for _, info := range infos {
		have = append(have, info.Name)
		compiled, err := schema.OfRequests(info.RequestSchema, info.ChecksPayload)
		if err != nil {
			h.logger.Error("requests are not checked against the handler's schema, which cannot be used", "plugin", s.name, "handler", info.Name, "error", err)
			continue
		}
		schemas[info.Name] = compiled
	}
	routes := make(map[string]dispatch.Route, len(s.topics))
	for _, t := range s.topics {
		r := route(s.name, t, have)
		r.Schema = schemas[r.Handler]
		if r.Problem != "" {
			h.logger.Error("a topic has no handler", "topic", t.Name, "problem", r.Problem)
		}
		routes[t.Name] = r
	}
	return routes
}

// settle notes that s is up, or known not to come up by itself soon.
func (h *Host) settle(s *server) {
	s.mu.Lock()
	s.settled = true
	s.mu.Unlock()
	h.checkReady()
}

// NewLogger makes the logger of a [log] section, on standard error.
func NewLogger(cfg config.Log) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name: "rrhost", Level: hclog.LevelFromString(cfg.Level), JSONFormat: cfg.Format == "json",
	})
}

var _ dispatch.Instance = (*stream.Instance)(nil)
