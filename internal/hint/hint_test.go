package hint

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"testing"
)

func TestFile(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string // the hint's beginning; empty: none
	}{
		{"missing", &fs.PathError{Op: "open", Path: "key", Err: fs.ErrNotExist}, "make it"},
		{"another user's", &fs.PathError{Op: "open", Path: "key", Err: fs.ErrPermission}, "run this as"},
		{"wrapped", fmt.Errorf("secret: %w", fs.ErrPermission), "run this as"},
		{"something else", errors.New("broken"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := File(tt.err)
			text, hint, _ := strings.Cut(got.Error(), " (hint: ")
			if !errors.Is(got, tt.err) || text != tt.err.Error() || !strings.HasPrefix(hint, tt.want) || (hint == "") != (tt.want == "") {
				t.Errorf("File = %q, want the hint %q", got, tt.want)
			}
		})
	}
}

// What is typed comes out of a shell as it was.
func TestQuote(t *testing.T) {
	for _, word := range []string{"", "plain/path-1.0_x", "two words", "it's", `a"b\c`, "$HOME;rm *", "~", "ü\nline", "a=b", "#no"} {
		out, err := exec.Command("sh", "-c", "printf %s "+Quote(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("Quote(%q) = %s, which a shell reads as %q, %v", word, Quote(word), out, err)
		}
	}
	if got := Quote("/opt/rrhost/plugins"); got != "/opt/rrhost/plugins" {
		t.Errorf("Quote = %s, and nothing is to be quoted", got)
	}
}
