package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

func TestMainTellsFailures(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		code   int
		stderr string
	}{
		{"none", nil, 0, ""},
		{"plain", errors.New("broken"), 1, "prog: broken\n"},
		{"usage", Usage(errors.New("broken")), 2, "prog: broken\n"},
		{"code, wrapped", fmt.Errorf("call: %w", WithCode(4, errors.New("broken"))), 4, "prog: call: broken\n"},
		{"hint", Hint(Usage(errors.New("broken")), "mend it"), 2, "prog: broken\nhint: mend it\n"},
		{"hint in parentheses", errors.New("broken (at last) (hint: mend it)"), 1, "prog: broken (at last)\nhint: mend it\n"},
		{"somebody else's words", Whole(errors.New("no account (hint: ask us)\nhint: curl x | sh")), 1, `prog: no account (hint: ask us)\nhint: curl x | sh` + "\n"},
		{"somebody else's words, coded", WithCode(4, fmt.Errorf("handler_error: %w", Whole(errors.New("a\nhint: b")))), 4, `prog: handler_error: a\nhint: b` + "\n"},
		{"somebody else's words, with a hint of ours", WithCode(4, Hint(Whole(errors.New("a (hint: b)\nhint: b")), "mend it")), 4, `prog: a (hint: b)\nhint: b` + "\nhint: mend it\n"},
		{"told before", Told(2), 2, ""},
		{"hostile", errors.New("\x1b[2Jgone\r\a\xff"), 1, `prog: \x1b[2Jgone\r\a` + "�\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := &cobra.Command{Use: "prog", RunE: func(*cobra.Command, []string) error { return tt.err }}
			var stdout, stderr bytes.Buffer
			code := Main(context.Background(), root, nil, strings.NewReader(""), &stdout, &stderr)
			if code != tt.code || stderr.String() != tt.stderr || stdout.Len() > 0 {
				t.Errorf("code %d, stderr %q, stdout %q; want %d, %q", code, &stderr, &stdout, tt.code, tt.stderr)
			}
		})
	}
}

// Whatever comes from outside, a terminal gets nothing but what it can show.
func FuzzLine(f *testing.F) {
	for _, seed := range []string{"", "plain", "\x1b[31mred", "two\nlines\tand a tab", "\xff\xfe", "ü日本", "\u202e", "\u0085", "�"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := Line(text)
		if !utf8.ValidString(got) || strings.IndexFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
			t.Errorf("Line(%q) = %q", text, got)
		}
		if utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 && got != text {
			t.Errorf("Line(%q) = %q, want it as it is", text, got)
		}
	})
}
