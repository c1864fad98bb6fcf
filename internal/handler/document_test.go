package handler

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The document's numbers and names are the code's.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/plugin-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Join(strings.Fields(string(text)), " ")
	for _, phrase := range []string{
		fmt.Sprintf("| `%s` | the handler refused or failed | the author's own, `%s` if there is none, `%s` for an exception that nobody meant, `%s` for",
			StatusHandlerError, CodeError, CodePanic, CodeInvalidResult),
		fmt.Sprintf("| `%s` | the payload is not JSON", StatusInvalidPayload),
		fmt.Sprintf("| `%s` | the context ended", StatusDeadlineExceeded),
		fmt.Sprintf("| `%s` | the plugin has no handler", StatusNoHandler),
		fmt.Sprintf("| `%s` | the response is above", StatusReplyTooLarge),
		fmt.Sprintf("| `code` | %d bytes | is cut |", maxCode),
		fmt.Sprintf("| `message` | %d KiB | is cut |", maxMessage>>10),
		fmt.Sprintf("name has 1 to %d bytes of UTF-8", MaxNameLen),
	} {
		if !strings.Contains(words, phrase) {
			t.Errorf("the document does not say %q", phrase)
		}
	}
}
