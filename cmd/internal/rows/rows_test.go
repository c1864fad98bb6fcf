package rows

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"rrhost/audit"
)

var at = time.Date(2026, 1, 31, 12, 0, 0, 5e6, time.UTC)

func TestText(t *testing.T) {
	tests := []struct {
		name string
		row  audit.Row
		want string
	}{
		{"gap", audit.Row{Time: at, Type: audit.TypeGap, Topic: "t", Partition: 2, Offset: 5, GapEnd: 9},
			"2026-01-31T12:00:00.005Z  gap          t/2/5  offsets 5 to 8 were dropped by Kafka before they could be stored"},
		{"malformed, without id", audit.Row{Time: at, Type: audit.TypeRequest, Topic: "t", RequestTopic: "t", Status: "malformed", Error: "malformed"},
			"2026-01-31T12:00:00.005Z  request      t/0/0  -  malformed"},
		{"request without outcome, sealed", audit.Row{Time: at, Type: audit.TypeRequest, Topic: "t", RequestTopic: "t", RequestID: "id",
			Status: audit.StatusNoOutcome, Payload: make([]byte, 70), KeyID: "0123456789abcdef"},
			"2026-01-31T12:00:00.005Z  request      t/0/0  id  no_outcome  (sealed, 70 bytes, key 01234567)"},
		{"no seal", audit.Row{Time: at, Type: audit.TypeRequest, Topic: "t", RequestTopic: "t", RequestID: "id", Payload: []byte("hello!")},
			"2026-01-31T12:00:00.005Z  request      t/0/0  id  (not sealed, 6 bytes)"},
		{"second attempt, error readable", audit.Row{Time: at, Type: audit.TypeResponse, Topic: "r", RequestTopic: "t", RequestID: "id",
			Status: "handler_error", Error: "no such account", DurationMS: 12, Attempt: 2, Plugin: "p v1", Payload: make([]byte, 70), KeyID: "0123456789abcdef"},
			"2026-01-31T12:00:00.005Z  response     r/0/0  id  t  handler_error  12ms  attempt 2  p v1  no such account  (sealed, 70 bytes, key 01234567)"},
		{"empty and readable", audit.Row{Time: at, Type: audit.TypeResponse, Topic: "r", RequestTopic: "t", RequestID: "id", Status: "undecryptable", Error: "undecryptable", Attempt: 1},
			"2026-01-31T12:00:00.005Z  response     r/0/0  id  t  undecryptable  0ms"},
		{"hostile", audit.Row{Time: at, Type: audit.TypeDeadLetter, Topic: "t.dlq", RequestTopic: "t\n\x1b[2J", RequestID: "\x07", Status: "malformed", Plugin: "\r"},
			`2026-01-31T12:00:00.005Z  dead_letter  t.dlq/0/0  \a  t\n\x1b[2J  malformed`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			p := Printer{Out: &out}
			if err := p.Print(tt.row); err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSuffix(out.String(), "\n"); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestShort(t *testing.T) {
	exact := strings.Repeat("ü", widest)
	if got := short(exact); got != exact {
		t.Errorf("a text of %d characters is cut to %q", widest, got)
	}
	if got, want := short(exact+"xy"), exact+"… (602 bytes)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
