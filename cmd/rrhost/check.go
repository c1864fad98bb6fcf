package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rrhost/cmd/internal/cli"
)

// checkTimeout bounds the check of one service.
const checkTimeout = 20 * time.Second

// A finding is one line of `rrhost check`.
type finding struct {
	Subject string `json:"subject"`
	OK      bool   `json:"ok"`
	// Note is what is wrong, or if OK, what is worth knowing.
	Note string `json:"note,omitempty"`
	// Mend is what to do about it; empty if OK.
	Mend string `json:"mend,omitempty"`

	code int // what the program exits with if this is wrong
}

func newCheck(g *cli.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong, and how to mend it",
		Long: `Check the configuration, the encryption key, Kafka and its topics, the audit
store and the plugins, which are started to ask for their handlers and to check
their settings, and ended. Each line says "ok", or "wrong" with what to do about it.
It changes nothing. What "rrhost run" would create by itself is not wrong. Run it as
the user that runs the host.

Exit codes: 0 nothing is wrong; 2 the configuration, the key or a plugin is;
1 a service cannot be reached or is not set up as it has to be.`,
		Example: `  rrhost check
  rrhost check --config /etc/rrhost/config.toml --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cli.TuneSarama(nil)
			findings := checkAll(cmd.Context(), g)
			if err := report(cmd.OutOrStdout(), findings, g.JSON); err != nil {
				return err
			}
			if code := worst(findings); code != cli.ExitOK {
				return cli.Told(code)
			}
			return nil
		},
	}
}

// checkAll looks at everything that a host depends on. Nothing else can be said
// while the configuration cannot be read.
func checkAll(ctx context.Context, g *cli.Globals) []finding {
	cfg, findings := checkConfiguration(g)
	if worst(findings) != cli.ExitOK {
		return findings
	}
	findings = append(findings, checkFolders(cfg)...)
	findings = append(findings, checkKey(cfg)...)
	findings = append(findings, bounded(ctx, "kafka", func(ctx context.Context) []finding { return checkKafka(ctx, cfg) })...)
	findings = append(findings, bounded(ctx, "audit store", func(ctx context.Context) []finding { return checkAudit(ctx, cfg) })...)
	return append(findings, checkPlugins(ctx, cfg)...)
}

// bounded runs a check of a service that may not answer. The libraries know no
// context in places: a check that is late is left to end by itself.
func bounded(ctx context.Context, subject string, check func(context.Context) []finding) []finding {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	done := make(chan []finding, 1)
	go func() { done <- check(ctx) }()
	select {
	case found := <-done:
		return found
	case <-ctx.Done():
		err := context.Cause(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %s", checkTimeout)
		}
		return []finding{unreachable(subject, err)}
	}
}

// worst is the code to exit with: a mistake of configuration before a service,
// which may be well but for that.
func worst(findings []finding) int {
	code := cli.ExitOK
	for _, f := range findings {
		if !f.OK {
			code = max(code, f.code)
		}
	}
	return code
}

func report(out io.Writer, findings []finding, asJSON bool) error {
	for _, f := range findings {
		if asJSON {
			if err := cli.PrintJSON(out, f); err != nil {
				return err
			}
			continue
		}
		word := "ok    "
		if !f.OK {
			word = "wrong "
		}
		line := f.Subject
		if f.Note != "" {
			line += ": " + f.Note
		}
		if f.Mend != "" {
			line += "; " + f.Mend
		}
		if _, err := fmt.Fprintln(out, word, cli.Line(line)); err != nil {
			return err
		}
	}
	return nil
}

func fine(subject, note string) finding {
	return finding{Subject: subject, OK: true, Note: note}
}

// misconfigured and unreachable are findings of an error, whose hint is what to
// do about it.
func misconfigured(subject string, err error) finding {
	note, mend := cli.Split(err)
	return finding{Subject: subject, Note: flat(note), Mend: flat(mend), code: cli.ExitUsage}
}

func unreachable(subject string, err error) finding {
	f := misconfigured(subject, err)
	f.code = cli.ExitError
	return f
}

func flat(text string) string { return strings.Join(strings.Fields(text), " ") }
