// Package conformance runs the cases of docs/plugin-protocol.md on a plugin, of
// whatever language: it starts the plugin as the host does, watches what goes over
// the connection, and says of each case what came of it.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"rrhost/internal/process"
)

// Document is where the protocol is written down, relative to the repository.
const Document = "docs/plugin-protocol.md"

// An Outcome is what came of a case.
type Outcome string

// The outcomes. A case is skipped where the plugin lacks what it needs.
const (
	OK      Outcome = "ok"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped"
)

// A Result is one case, when it is over.
type Result struct {
	Case    string  `json:"case"`
	Outcome Outcome `json:"outcome"`
	// Seen is what the plugin did if it failed, or why the case was skipped.
	Seen string `json:"seen,omitempty"`
	// Want is what it should have done, and Doc the document's section that says
	// so.
	Want string `json:"want"`
	Doc  string `json:"doc"`
	// Millis is how long the case took.
	Millis int64 `json:"ms"`
}

// A testCase is one demand on a plugin.
type testCase struct {
	Name string
	// Want says what a plugin does that passes, as the document's table of cases
	// has it.
	Want string
	// Section of the document.
	Section string
	// Handlers: the case needs the conformance handlers.
	Handlers bool

	run func(context.Context, *suite) error
}

// caseTimeout bounds one case. Cases have bounds of their own, which say more:
// this one is for a plugin that hangs where nobody thought of it.
const caseTimeout = 2 * time.Minute

// Options are how to run. Zero values mean the defaults.
type Options struct {
	// StartTimeout bounds each start of the plugin, up to the open stream.
	// Defaults to 10 s.
	StartTimeout time.Duration
	// Only are the names of cases to run. Nil: all. Unknown ones are an error.
	Only []string
	// Log gets what the plugin prints, as lines of a log. Nil: nothing does.
	Log io.Writer
}

// Run runs cases on the plugin that cfg starts, one after the other, and tells
// report of each as it ends. It returns whether none has failed. When ctx ends, so
// does Run, with the context's cause; no process is left either way. Of cfg,
// Logger, Tail, Accept and DialOptions are not used.
//
// The plugin's handlers get requests that mean nothing, among them well-formed
// JSON: a plugin whose handlers act on the world must not be tested where that
// matters.
func Run(ctx context.Context, cfg process.Config, o Options, report func(Result)) (passed bool, err error) {
	some, err := chosen(o.Only)
	if err != nil {
		return false, err
	}
	s := &suite{cfg: cfg, startTimeout: o.StartTimeout}
	if o.Log != nil {
		s.shown = hclog.NewSinkAdapter(&hclog.LoggerOptions{Output: o.Log, Level: hclog.Trace})
	}
	if s.startTimeout == 0 {
		s.startTimeout = 10 * time.Second
	}
	s.first, s.firstErr = s.start(ctx, nil)
	if s.firstErr == nil {
		s.current = s.first
	}
	defer s.end()
	passed = true
	for _, c := range some {
		r := Result{Case: c.Name, Outcome: OK, Want: c.Want, Doc: Document + "#" + c.Section}
		begun := time.Now()
		err := s.one(ctx, c)
		r.Millis = time.Since(begun).Milliseconds()
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		var skip skipped
		switch {
		case errors.As(err, &skip):
			r.Outcome, r.Seen = Skipped, skip.why
		case err != nil:
			r.Outcome, r.Seen, passed = Failed, err.Error(), false
		}
		report(r)
	}
	return passed, nil
}

// ErrUnknownCase is wrapped by the error for a case to be run that there is not.
var ErrUnknownCase = errors.New("there is no case")

func caseNames() []string {
	var names []string
	for _, c := range cases {
		names = append(names, c.Name)
	}
	return names
}

// chosen are the cases with these names, in their order.
func chosen(names []string) ([]testCase, error) {
	if names == nil {
		return cases, nil
	}
	var some []testCase
	for _, c := range cases {
		if slices.Contains(names, c.Name) {
			some = append(some, c)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(some, func(c testCase) bool { return c.Name == name }) {
			return nil, fmt.Errorf("%w %q; there is: %s", ErrUnknownCase, name, strings.Join(caseNames(), ", "))
		}
	}
	return some, nil
}

// skipped is the error of a case that cannot be run.
type skipped struct{ why string }

func (s skipped) Error() string { return "skipped: " + s.why }

func skip(format string, args ...any) error { return skipped{fmt.Sprintf(format, args...)} }

func (s *suite) one(ctx context.Context, c testCase) error {
	ctx, cancel := context.WithTimeoutCause(ctx, caseTimeout, fmt.Errorf("the case was not over within %s", caseTimeout))
	defer cancel()
	if c.Handlers && s.first.Process != nil && !s.conformant() {
		return skip("the plugin has not all of the conformance handlers (%s)", strings.Join(handlers, ", "))
	}
	return c.run(ctx, s)
}
