package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"rrhost/audit"
	"rrhost/cmd/internal/cli"
	"rrhost/cmd/internal/rows"
	"rrhost/config"
	"rrhost/internal/wire"
)

// outcomeWait is how long `logs --id` waits for the outcome's row, which follows
// the reply within a second.
const outcomeWait = 5 * time.Second

// logs are the flags of the command.
type logs struct {
	id                   string
	since, until         string
	topic, status        string
	limit                int
	noWait, oldest, tail bool
}

func newLogs(g *cli.Globals) *cobra.Command {
	var l logs
	c := &cobra.Command{
		Use:   "logs --id ID | --since TIME",
		Short: "Print rows of the audit trail",
		Long: `Print rows of the audit trail, one a line, newest first. Payloads are opened if
the key is there, else sealed.

--id prints one request's rows; right after a request it waits up to 5s for the
outcome's. --since prints a range of time and says on standard error up to when
the trail is complete. TIME is a duration before now or RFC 3339.

With --json each line is an object; payload is there if it could be opened,
payload_bytes if it could be and is no JSON, and else payload_sealed.`,
		Example: `  rrclient logs --id 6f9619ff-8b86-4011-b42d-00cf4fc964ff
  rrclient logs --since 1h --status handler_error
  rrclient logs --since 2026-01-31T12:00:00Z --until 30m --topic calculate --json
  rrclient logs --follow`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return l.run(cmd, g) },
	}
	f := c.Flags()
	f.StringVar(&l.id, "id", "", "the request's `id`")
	f.StringVar(&l.since, "since", "", "from this `time` on")
	f.StringVar(&l.until, "until", "", "up to this `time`")
	f.StringVar(&l.topic, "topic", "", "of this request `topic` only, and its outcomes")
	f.StringVar(&l.status, "status", "", "with this `status` only")
	f.IntVar(&l.limit, "limit", audit.DefaultLimit, "at most this many rows; 0: all")
	f.BoolVar(&l.oldest, "oldest", false, "oldest first")
	f.BoolVar(&l.noWait, "no-wait", false, "with --id: do not wait for the outcome")
	f.BoolVarP(&l.tail, "follow", "f", false, "go on as rows come, oldest first, until interrupted")
	c.MarkFlagsOneRequired("id", "since", "follow")
	for _, other := range []string{"since", "until", "topic", "status", "limit", "follow"} {
		c.MarkFlagsMutuallyExclusive("id", other)
	}
	for _, other := range []string{"since", "follow"} {
		c.MarkFlagsMutuallyExclusive("no-wait", other)
	}
	for _, other := range []string{"until", "limit", "oldest"} {
		c.MarkFlagsMutuallyExclusive("follow", other)
	}
	_ = c.RegisterFlagCompletionFunc("topic", completeTopics(g)) // fails for a flag that is not there
	_ = c.RegisterFlagCompletionFunc("status", cobra.FixedCompletions(statuses(), cobra.ShellCompDirectiveNoFileComp))
	return c
}

// statuses are those that a row can have.
func statuses() []string {
	var all []string
	for _, s := range append(wire.Statuses(), wire.Reasons()...) {
		all = append(all, string(s))
	}
	all = append(all, audit.StatusNoOutcome)
	slices.Sort(all)
	return slices.Compact(all)
}

func (l *logs) run(cmd *cobra.Command, g *cli.Globals) error {
	cfg, err := g.Load()
	if err != nil {
		return err
	}
	q, err := l.query(time.Now())
	if err != nil {
		return cli.Usage(err)
	}
	printer := rows.Printer{Out: cmd.OutOrStdout(), JSON: g.JSON}
	if printer.Ring, err = cli.Keys(cfg); errors.Is(err, config.ErrNoKey) {
		fmt.Fprintln(cmd.ErrOrStderr(), "note: there is no key to open payloads with")
	} else if err != nil {
		return err
	}
	err = l.read(cmd, cfg, q, printer)
	if ctx := cmd.Context(); err != nil && ctx.Err() != nil {
		return context.Cause(ctx) // and not what a store makes of it
	}
	return err
}

// read prints what the flags ask for.
func (l *logs) read(cmd *cobra.Command, cfg config.Config, q audit.Range, printer rows.Printer) error {
	ctx := cmd.Context()
	reader, err := openTrail(ctx, cfg, l.wait())
	if errors.Is(err, audit.ErrNoStore) {
		return cli.Usage(err)
	}
	if err != nil {
		return err
	}
	defer reader.Close()
	switch {
	case l.id != "":
		return l.one(ctx, reader, printer)
	case l.tail:
		return follow(ctx, reader, q, printer)
	}
	return l.between(cmd, reader, q, printer)
}

// query checks the flags.
func (l *logs) query(now time.Time) (q audit.Range, err error) {
	if l.id != "" {
		id, err := uuid.Parse(l.id)
		if err != nil {
			return q, fmt.Errorf("--id %q is no request id; one looks like 6f9619ff-8b86-4011-b42d-00cf4fc964ff", l.id)
		}
		l.id = id.String()
		return q, nil
	}
	if q.From, err = parseTime("--since", l.since, now); err != nil {
		return q, err
	}
	if q.To, err = parseTime("--until", l.until, now); err != nil {
		return q, err
	}
	if !q.To.IsZero() && !q.From.Before(q.To) {
		return q, fmt.Errorf("--until %s is not after --since %s", l.until, l.since)
	}
	if l.status != "" && !slices.Contains(statuses(), l.status) {
		return q, fmt.Errorf("--status %q: there are %v", l.status, statuses())
	}
	if l.limit < 0 {
		return q, fmt.Errorf("--limit %d is below 0", l.limit)
	}
	q.Topic, q.Status, q.Oldest, q.Payloads = l.topic, l.status, l.oldest, true
	return q, nil
}

// parseTime reads a duration before now, or a point in time. Empty is the zero
// time.
func parseTime(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%s %q is neither a duration before now, as in 90m, nor a time, as in 2026-01-31T12:00:00Z", flag, text)
}

// wait is how long to wait for what a request leaves in the trail.
func (l *logs) wait() time.Duration {
	if l.id == "" || l.noWait {
		return 0
	}
	return outcomeWait
}

// openTrail opens the trail. Where it has not begun it waits for at most wait: a
// host that starts for the first time answers requests before it has made the
// tables.
func openTrail(ctx context.Context, cfg config.Config, wait time.Duration) (*audit.Reader, error) {
	end := time.Now().Add(wait)
	for {
		reader, err := audit.Open(ctx, cfg)
		if !errors.Is(err, audit.ErrNoTrail) || !time.Now().Before(end) {
			return reader, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(min(100*time.Millisecond, time.Until(end))):
		}
	}
}

// one prints the rows of one request.
func (l *logs) one(ctx context.Context, reader *audit.Reader, printer rows.Printer) error {
	found, err := reader.WaitOutcome(ctx, l.id, l.wait())
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return cli.Hint(fmt.Errorf("request %s is not in the trail", l.id), "it may be of another host or store, or older than [audit] ttl")
	}
	if !l.oldest {
		slices.Reverse(found)
	}
	for _, row := range found {
		if err := printer.Print(row); err != nil {
			return err
		}
	}
	return nil
}

// pageSize is how many rows are asked for at once, at the most.
const pageSize = 500

// page is how many rows to ask for at once.
func (l *logs) page() int {
	if l.limit == 0 || l.status == audit.StatusNoOutcome { // of a page, only some have none
		return pageSize
	}
	return min(l.limit, pageSize)
}

// between prints a range of time, page by page.
func (l *logs) between(cmd *cobra.Command, reader *audit.Reader, q audit.Range, printer rows.Printer) error {
	q.Limit = l.page()
	var complete time.Time
	printed, full := 0, false
	for !full {
		page, err := reader.ByTime(cmd.Context(), q)
		if err != nil {
			return err
		}
		if q.Cursor == "" {
			complete = page.CompleteUntil
		}
		for _, row := range page.Rows {
			if full = printed == l.limit && l.limit > 0; full {
				break
			}
			if err := printer.Print(row); err != nil {
				return err
			}
			printed++
		}
		if q.Cursor = page.Cursor; q.Cursor == "" {
			break
		}
		full = full || printed == l.limit && l.limit > 0
	}
	note := "note: how far the trail is complete is not known"
	if !complete.IsZero() {
		note = "note: the trail is complete until " + complete.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	if full {
		note += fmt.Sprintf("; there may be more than these %d rows, see --limit", l.limit)
	}
	_, err := fmt.Fprintln(cmd.ErrOrStderr(), note)
	return err
}

// follow prints rows as they come, until ctx is done.
func follow(ctx context.Context, reader *audit.Reader, q audit.Range, printer rows.Printer) error {
	for row, err := range reader.Follow(ctx, q) {
		if err != nil {
			return err
		}
		if err := printer.Print(row); err != nil {
			return err
		}
	}
	return nil
}
