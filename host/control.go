package host

import (
	"context"
	"fmt"
	"time"

	"rrhost/internal/control"
)

// controlled is a host as the commands on this machine see it.
type controlled struct{ *Host }

var _ control.Host = controlled{}

func (c controlled) Plugins() []control.Plugin {
	var list []control.Plugin
	for _, s := range c.servers {
		s.mu.Lock()
		plugin := s.plugin
		s.mu.Unlock()
		if plugin == nil {
			continue
		}
		state, lane := plugin.State(), s.lane.State()
		p := control.Plugin{
			Name: s.name, Version: state.Version, Digest: state.Digest, State: string(state.State),
			Since: state.Since.UTC().Format(time.RFC3339), PID: state.PID, Restarts: state.Restarts,
			InFlight: lane.Running, Waiting: lane.Waiting, Held: state.Held, Pinned: state.Pinned,
			LastError: errorText(state.LastError), LastLines: state.LastLines, Refused: errorText(state.Refused),
			Outside: state.Outside, SDK: state.SDK,
		}
		for _, t := range s.topics {
			p.Topics = append(p.Topics, t.Name)
		}
		for _, h := range state.Handlers {
			p.Handlers = append(p.Handlers, control.Handler{Name: h.Name, Request: h.RequestSchema, Response: h.ResponseSchema})
		}
		for _, i := range state.Instances {
			p.Instances = append(p.Instances, control.Instance{
				Number: i.Number, Version: i.Version, PID: i.PID, State: string(i.State),
				Since: i.Since.UTC().Format(time.RFC3339), InFlight: i.InFlight,
			})
		}
		list = append(list, p)
	}
	return list
}

func (c controlled) Reload(ctx context.Context, plugin string) error {
	return c.ReloadPlugin(ctx, plugin)
}

func (c controlled) Restart(ctx context.Context, plugin string) error {
	p, err := c.supervised(plugin)
	if err != nil {
		return err
	}
	return p.Restart(ctx)
}

func (c controlled) Rollback(ctx context.Context, plugin string) error {
	p, err := c.supervised(plugin)
	if err != nil {
		return err
	}
	return p.Rollback(ctx)
}

// supervised finds what looks after a plugin.
func (h *Host) supervised(plugin string) (supervised, error) {
	for _, s := range h.servers {
		if s.name != plugin || s.handlers != nil {
			continue
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.plugin == nil {
			return nil, fmt.Errorf("plugin %s: the host does not run yet", plugin)
		}
		return s.plugin, nil
	}
	return nil, fmt.Errorf("%w: %s", control.ErrUnknown, plugin)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
