package process

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"rrhost/internal/attach"
)

// The document's numbers and names are the code's.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/plugin-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Join(strings.Fields(string(text)), " ")
	for _, phrase := range []string{
		fmt.Sprintf("between `|`, at most %d KiB in all", maxHandshake>>10),
		fmt.Sprintf("in its shortest spelling, at most %d bytes", attach.MaxPath),
		fmt.Sprintf("has `%s` and `%s` of the host's", strings.Join(base[:len(base)-1], "`, `"), base[len(base)-1]),
		fmt.Sprintf("At least one handler, and at most %d,%03d.", maxHandlers/1000, maxHandlers%1000),
		fmt.Sprintf("the largest response, %d,%03d,%03d bytes unless configured", DefaultMaxPayload/1_000_000, DefaultMaxPayload/1000%1000, DefaultMaxPayload%1000),
		fmt.Sprintf("Lines are cut at %d KiB", maxLine>>10),
		fmt.Sprintf("which become fields, at most %d, with names of at most %d letters", maxFields, maxFieldKey),
		fmt.Sprintf("started with `%s` in its environment", attach.Env),
	} {
		if !strings.Contains(words, phrase) {
			t.Errorf("the document does not say %q", phrase)
		}
	}
}
