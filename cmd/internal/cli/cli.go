// Package cli is how rrhost and rrclient begin and end: the flags that all of
// their commands have, the exit codes, and how a failure is told.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// Exit codes that are no status of a request; those are in wire's table.
const (
	ExitOK    = 0
	ExitError = 1 // a failure that has no code of its own
	ExitUsage = 2 // the command line or the configuration is wrong
)

// Main runs a command line and returns the code to exit with. What fails is told
// on stderr: the program, what went wrong, and a line with a hint.
func Main(ctx context.Context, root *cobra.Command, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SilenceErrors = true
	root.SilenceUsage = true

	root.SetFlagErrorFunc(negative)
	root.InitDefaultCompletionCmd() // here, so that the same holds for it

	// What fails before a command's own function is reached is the command line.
	begun := false
	each(root, func(c *cobra.Command) {
		if c.HasSubCommands() && !c.Runnable() {
			c.RunE = needsCommand
		}
		if own := c.RunE; own != nil {
			c.RunE = func(cmd *cobra.Command, args []string) error {
				begun = true
				return own(cmd, args)
			}
		}
	})
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	if !begun {
		if _, hint := Split(err); hint == "" {
			err = Hint(err, cmd.CommandPath()+" --help")
		}
		err = Usage(err)
	}
	tell(stderr, root.Name(), err)
	return code(err)
}

// negative says what to do where a negative number, which is JSON, was taken for a
// flag: none of ours is a digit.
func negative(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "" && strings.Contains("0123456789", unknown.GetSpecifiedName()) {
		return Hint(err, "put -- before an argument that begins with -, or write it as - and give it on standard input; "+c.CommandPath()+" --help")
	}
	return err
}

// needsCommand is what a command does that only has commands below it: named
// alone it is a mistake, and what would be right is its help.
func needsCommand(c *cobra.Command, _ []string) error {
	c.SetOut(c.ErrOrStderr())
	if err := c.Help(); err != nil {
		return err
	}
	return Usage(fmt.Errorf("%s needs a command", c.CommandPath()))
}

// Args accepts exactly these arguments.
func Args(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return fmt.Errorf("missing: %s", strings.Join(names[len(args):], " "))
		case len(args) > len(names): // not quoted: a payload may be among them
			return fmt.Errorf("%d arguments where there are %d: %s; is one to be quoted for the shell?", len(args), len(names), strings.Join(names, " "))
		}
		return nil
	}
}

func each(c *cobra.Command, do func(*cobra.Command)) {
	do(c)
	for _, sub := range c.Commands() {
		each(sub, do)
	}
}

// Signals returns a context that the first SIGINT or SIGTERM cancels. The second
// ends the process where it stands, which everything here must survive anyway.
func Signals(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	received := make(chan os.Signal, 2)
	signal.Notify(received, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, ok := <-received; ok {
			cancel(ErrInterrupted)
		}
		if _, ok := <-received; ok {
			os.Exit(ExitError)
		}
	}()
	return ctx, func() {
		signal.Stop(received)
		close(received)
		cancel(context.Canceled)
	}
}

// ErrInterrupted is the cause of a context that a signal ended.
var ErrInterrupted = errors.New("interrupted")

// An exit is an error that has a code of its own.
type exit struct {
	error
	code int
}

func (e exit) Unwrap() error { return e.error }

// errTold is what an exit wraps that needs no more words.
var errTold = errors.New("failed")

// WithCode gives err an exit code.
func WithCode(code int, err error) error { return exit{err, code} }

// Usage says that err is a mistake of the command line or the configuration.
func Usage(err error) error { return exit{err, ExitUsage} }

// Told ends a command that has already said what is wrong.
func Told(code int) error { return exit{errTold, code} }

// Hint adds to err what to try next.
func Hint(err error, hint string) error { return fmt.Errorf("%w\nhint: %s", err, hint) }

// whole is an error whose text is somebody else's.
type whole struct{ error }

func (w whole) Unwrap() error { return w.error }

// Whole says that err holds the words of somebody else: what looks like a hint in
// there is none, and it is shown on one line, so that nothing in there passes for
// a line of ours.
func Whole(err error) error { return whole{err} }

func code(err error) int {
	var e exit
	if errors.As(err, &e) {
		return e.code
	}
	return ExitError
}

// tell prints a failure.
func tell(w io.Writer, program string, err error) {
	if errors.Is(err, errTold) {
		return
	}
	text, hint := Split(err)
	show := Printable
	if errors.As(err, new(whole)) {
		show = Line
	}
	fmt.Fprintf(w, "%s: %s\n", program, show(text))
	if hint != "" {
		fmt.Fprintf(w, "hint: %s\n", Printable(hint))
	}
}

// Split takes the hint off an error's text. It stands there as a last line or,
// where the text may also end in a log, in parentheses.
func Split(err error) (text, hint string) {
	var theirs whole
	if errors.As(err, &theirs) { // a hint of ours comes after their words
		text := err.Error()
		end := strings.Index(text, theirs.Error()) + len(theirs.Error())
		_, hint, _ := strings.Cut(text[end:], "\nhint: ")
		return strings.TrimSpace(text[:end]), strings.TrimSpace(hint)
	}
	text, hint, found := strings.Cut(err.Error(), "\nhint: ")
	if before, after, in := strings.Cut(text, " (hint: "); in && !found && strings.HasSuffix(after, ")") {
		text, hint = before, strings.TrimSuffix(after, ")")
	}
	return strings.TrimSpace(text), hint
}

// Printable makes text fit for a terminal: what others wrote, in a header or an
// error message, must not move the cursor. Line ends and tabs stay.
func Printable(text string) string {
	clean := func(r rune) bool { return unicode.IsPrint(r) || r == '\n' || r == '\t' }
	var b strings.Builder
	for _, r := range text { // what is not UTF-8 comes as the replacement character
		if clean(r) {
			b.WriteRune(r)
		} else {
			quoted := fmt.Sprintf("%+q", r) // '\x1b'
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// IsTerminal tells whether a person may be looking at w.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Line is [Printable] for what has to stay on one line.
func Line(text string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(Printable(text))
}
