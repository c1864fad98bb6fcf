package supervise

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// The document's numbers and names are the code's.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../../docs/plugin-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Join(strings.Fields(string(text)), " ")
	for _, phrase := range []string{
		fmt.Sprintf("`start_timeout` (%d s unless configured)", DefaultStartTimeout/time.Second),
		fmt.Sprintf("and then every %d s, also under load; %s checks in a row without that answer within %d s end the process",
			defaultTiming.health/time.Second, []string{2: "two", 3: "three", 4: "four"}[defaultTiming.strikes], defaultTiming.healthTimeout/time.Second),
	} {
		if !strings.Contains(words, phrase) {
			t.Errorf("the document does not say %q", phrase)
		}
	}
}
