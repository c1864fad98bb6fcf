package stream

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
		fmt.Sprintf("# The plugin protocol, version %d ", ProtocolVersion),
		fmt.Sprintf("| `%s` | `%s`: the cookie", Handshake.MagicCookieKey, Handshake.MagicCookieValue),
		fmt.Sprintf("| `%s` | the largest gRPC message", MaxMessageEnv),
		fmt.Sprintf("| `%s` | if set: what the host's calls carry", TokenEnv),
		fmt.Sprintf("If `%s` is set, every call of the host carries its value as metadata `%s`", TokenEnv, tokenKey),
		fmt.Sprintf("at most %d results or %d KiB in one frame", maxFrameItems, maxFrameBytes>>10),
		fmt.Sprintf("at least %d MiB more than the largest payload", headroom>>20),
	} {
		if !strings.Contains(words, phrase) {
			t.Errorf("the document does not say %q", phrase)
		}
	}
}
