package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"rrhost/config"
	"rrhost/host/internal/supervise"
	"rrhost/internal/plugindir"
	"rrhost/internal/process"
	"rrhost/internal/stream"
)

// A FoundPlugin is a plugin in the plugin directory.
type FoundPlugin struct {
	Name     string
	Path     string // of the file or folder, absolute and no link; empty if there is none
	Version  string
	Handlers []string // known once it was started
	Err      error    // why it cannot be run, and what to do; nil if it can
}

// FindPlugins lists the plugins that cfg's topics name, with what is wrong with
// each, without starting any.
func FindPlugins(cfg config.Config) ([]FoundPlugin, error) {
	return lookAtPlugins(cfg.WithDefaults(), nil)
}

// CheckPlugins is FindPlugins, and starts each as a host would, from a copy that
// is removed: whether it answers, takes its settings, and has a handler for each
// of its topics. It changes nothing.
func CheckPlugins(ctx context.Context, cfg config.Config) (list []FoundPlugin, err error) {
	cfg = cfg.WithDefaults()
	dir, err := os.MkdirTemp("", "rrhost-check-")
	if err != nil {
		return nil, fmt.Errorf("copy the plugins: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o711); err != nil { // a plugin's user passes through
		return nil, fmt.Errorf("copy the plugins: %w", err)
	}
	store, err := plugindir.OpenStore(filepath.Join(dir, "plugins"), false)
	if err != nil {
		return nil, err
	}
	return lookAtPlugins(cfg, func(s *server, f plugindir.Found, p *FoundPlugin) error {
		if err := process.CheckUser(cfg.Plugin[s.name].User, cfg.Path(cfg.Plugins.Store)); err != nil {
			return err
		}
		build, err := store.Stage(f)
		if err != nil {
			return err
		}
		about, err := supervise.Try(ctx, supervision(cfg, s.name, store), build)
		if err != nil {
			return err
		}
		p.Handlers = handlerNames(about.Handlers)
		for _, t := range s.topics {
			if r := route(s.name, t, p.Handlers); r.Problem != "" {
				err = errors.Join(err, fmt.Errorf("topic %s: %s", t.Name, r.Problem))
			}
		}
		return err
	})
}

// lookAtPlugins lists the plugins; more looks further at those that may be run.
func lookAtPlugins(cfg config.Config, more func(*server, plugindir.Found, *FoundPlugin) error) ([]FoundPlugin, error) {
	servers, err := assign(cfg, nil)
	if err != nil {
		return nil, err
	}
	of := make(map[string]*server)
	for _, s := range servers {
		of[s.name] = s
	}
	found, err := plugindir.Find(cfg.Path(cfg.Plugins.Dir), slices.Collect(maps.Keys(of)))
	if err != nil {
		return nil, err
	}
	var list []FoundPlugin
	for _, f := range found {
		p := FoundPlugin{Name: f.Name, Path: f.Root, Err: f.Err}
		if f.Err == nil && cfg.Plugins.Trust == "strict" {
			p.Err = plugindir.CheckTrust(f)
		}
		if p.Err == nil {
			var digest string
			if digest, p.Version, p.Err = plugindir.Identify(f); p.Err == nil && cfg.Plugins.Verify == "lock" {
				note, err := plugindir.ReadNote(cfg.Path(cfg.Plugins.Store), f.Name)
				if p.Err = err; err == nil && !note.Trusts(digest) {
					p.Err = supervise.Untrusted(f.Name, digest, note)
				}
			}
		}
		if p.Err == nil && more != nil {
			p.Err = more(of[f.Name], f, &p)
		}
		list = append(list, p)
	}
	return list, nil
}

func handlerNames(infos []stream.HandlerInfo) []string {
	var names []string
	for _, i := range infos {
		names = append(names, i.Name)
	}
	return names
}
