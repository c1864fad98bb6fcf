package process

import (
	"os"
	"strings"
	"testing"
)

// TestGoldenHandshakes: the lines of plugins that are out there are accepted and
// refused as they have been.
func TestGoldenHandshakes(t *testing.T) {
	text, err := os.ReadFile("../../test/golden/testdata/handshakes.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		field := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(field) != 4 {
			t.Fatalf("%q has %d fields", line, len(field))
		}
		verdict, reason, printed := field[0], field[2], strings.ReplaceAll(field[3], "DIR", "/tmp/rr1-2/plugin3")
		seen[verdict]++
		err := vetHandshake([]byte(printed), "/tmp/rr1-2/plugin3", field[1] == "tls")
		switch {
		case verdict == "accepted" && err != nil:
			t.Errorf("%q is refused: %v", printed, err)
		case verdict == "refused" && (err == nil || !strings.Contains(err.Error(), reason)):
			t.Errorf("%q: %v, and %q is wanted", printed, err, reason)
		}
	}
	if seen["accepted"] == 0 || seen["refused"] == 0 || len(seen) != 2 {
		t.Errorf("lines: %v", seen)
	}
}
