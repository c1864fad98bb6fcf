package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"rrhost/audit"
	"rrhost/cmd/internal/cli"
	"rrhost/config"
	"rrhost/host"
	"rrhost/internal/kafka"
	"rrhost/internal/plugindir"
)

func checkConfiguration(g *cli.Globals) (config.Config, []finding) {
	cfg, err := g.Load()
	var mistakes *config.Error
	if errors.As(err, &mistakes) {
		var findings []finding
		for _, f := range mistakes.Faults {
			place := mistakes.File + ":" + strconv.Itoa(f.Line)
			if f.Key != "" {
				place += ": " + f.Key
			}
			findings = append(findings, finding{Subject: place, Note: f.Problem, Mend: f.Want, code: cli.ExitUsage})
		}
		return cfg, findings
	}
	if err != nil {
		return cfg, []finding{misconfigured("configuration", err)}
	}
	var names []string
	for _, t := range cfg.Topics {
		names = append(names, t.Name)
	}
	if len(names) == 0 {
		return cfg, []finding{misconfigured("configuration", cli.Hint(fmt.Errorf("%s has no [[topic]]", g.ConfigFile), "write one, with its name"))}
	}
	findings := []finding{fine("configuration", g.ConfigFile+", topics "+strings.Join(names, ", "))}
	for _, w := range cfg.Warnings() {
		findings = append(findings, fine(w.Key, w.Problem+"; "+w.Want))
	}
	return cfg, findings
}

// checkFolders looks whether a host can write the folders that are its own. It
// makes nothing: of one that is not there, it looks at where it would be made.
func checkFolders(cfg config.Config) []finding {
	folders := []struct{ key, dir string }{{"plugins.store", cfg.Plugins.Store}}
	if cfg.IsEmbedded() || cfg.Audit.Store == "embedded" {
		folders = append(folders, struct{ key, dir string }{"embedded.dir", cfg.Embedded.Dir})
	}
	var findings []finding
	for _, f := range folders {
		if err := writable(cfg.Path(f.dir)); err != nil {
			findings = append(findings, misconfigured(f.key, cli.Hint(err, "let the user that runs the host write there, or set "+f.key+" to another folder")))
		}
	}
	return findings
}

// writable tells what keeps this user from making files in dir, and dir where it
// is missing.
func writable(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	info, err := os.Stat(dir)
	for ; errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir); info, err = os.Stat(dir) {
		dir = filepath.Dir(dir)
	}
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is no folder", dir)
	}
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return fmt.Errorf("%s cannot be written: %w", dir, err)
	}
	return nil
}

// madeByRun is a finding of what is missing from the embedded folder until a host
// has made it.
func madeByRun(subject, missing string, cfg config.Config) finding {
	if writable(cfg.Path(cfg.Embedded.Dir)) == nil {
		return fine(subject, missing+"; rrhost run makes it")
	}
	return misconfigured(subject, cli.Hint(errors.New(missing+", and rrhost run cannot make it"), "mend embedded.dir"))
}

func checkKey(cfg config.Config) []finding {
	const subject = "key"
	ring, err := cfg.Ring()
	switch {
	case err == nil:
		return []finding{fine(subject, "seals with key "+ring.ActiveID().String())}
	case errors.Is(err, config.ErrNoKey) && cfg.IsEmbedded():
		return []finding{madeByRun(subject, "there is none yet", cfg)}
	}
	return []finding{misconfigured(subject, err)}
}

func checkKafka(ctx context.Context, cfg config.Config) []finding {
	const subject = "kafka"
	_, brokers, err := kafka.Base(cfg) // connects to nothing
	if err != nil && !errors.Is(err, kafka.ErrNoHost) {
		return []finding{misconfigured(subject, err)}
	}
	topics, err := kafka.CheckTopics(ctx, cfg)
	if errors.Is(err, kafka.ErrNoHost) {
		return checkPorts(cfg)
	}
	if err != nil && len(topics) == 0 {
		return []finding{unreachable(subject, err)}
	}
	findings := []finding{fine(subject, strings.Join(brokers, ", ")+" answers")}
	for _, t := range topics {
		findings = append(findings, finding{Subject: t.Subject, OK: t.OK, Note: t.Problem, Mend: t.Mend, code: cli.ExitError})
	}
	if err != nil {
		findings = append(findings, unreachable(subject, err))
	}
	return findings
}

// checkPorts looks whether a host with the embedded broker could be started.
func checkPorts(cfg config.Config) []finding {
	var findings []finding
	for _, port := range []struct{ key, address string }{
		{"embedded.listen", cfg.Embedded.Listen}, {"admin.listen", cfg.Admin.Listen},
	} {
		if port.address == "off" {
			continue
		}
		l, err := net.Listen("tcp", port.address)
		if err != nil {
			findings = append(findings, unreachable(port.key, cli.Hint(err, "end what listens there, or set another address")))
			continue
		}
		_ = l.Close()
	}
	if len(findings) == 0 {
		findings = append(findings, fine("kafka", "no host is running here; rrhost run starts the embedded broker at "+cfg.Embedded.Listen))
	}
	return findings
}

func checkAudit(ctx context.Context, cfg config.Config) []finding {
	subject := "audit store " + cfg.Audit.Store
	reader, err := audit.Open(ctx, cfg)
	switch {
	case errors.Is(err, audit.ErrNoStore):
		return []finding{fine("audit store", "none: requests leave no trail beyond Kafka's retention")}
	case errors.Is(err, audit.ErrNoTrail) && cfg.Audit.Store == "embedded":
		return []finding{madeByRun(subject, "there is no trail yet", cfg)}
	case errors.Is(err, audit.ErrNoTrail) && migrates(cfg):
		return []finding{fine(subject, "there is no trail yet; rrhost run makes it")}
	case err != nil:
		return []finding{unreachable(subject, err)}
	}
	defer reader.Close()
	until, err := reader.CompleteUntil(ctx)
	if err != nil {
		return []finding{unreachable(subject, err)}
	}
	if until.IsZero() {
		unread, err := reader.Unread(ctx)
		if err != nil {
			return []finding{unreachable(subject, err)}
		}
		return []finding{fine(subject, "not read yet: "+strings.Join(unread, ", ")+"; a host that serves them reads them")}
	}
	return []finding{fine(subject, "complete until "+until.UTC().Format("2006-01-02T15:04:05Z07:00"))}
}

func migrates(cfg config.Config) bool {
	return cfg.Audit.Cassandra.Migrate == nil || *cfg.Audit.Cassandra.Migrate
}

func checkPlugins(ctx context.Context, cfg config.Config) []finding {
	var findings []finding
	// The plugins are tried from a store that is removed.
	if err := plugindir.CheckStore(cfg.Path(cfg.Plugins.Store), cfg.Plugins.Trust == "strict"); err != nil {
		findings = append(findings, misconfigured("plugin store", err))
	}
	found, err := host.CheckPlugins(ctx, cfg)
	if err != nil {
		return append(findings, misconfigured("plugins", err))
	}
	for _, p := range found {
		if p.Err != nil {
			findings = append(findings, misconfigured("plugin "+p.Name, p.Err))
		} else {
			findings = append(findings, fine("plugin "+p.Name, p.Path+", version "+p.Version+", handlers "+strings.Join(p.Handlers, ", ")))
		}
	}
	return findings
}
