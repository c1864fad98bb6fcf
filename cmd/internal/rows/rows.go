// Package rows prints rows of the audit trail, opened for whoever has the key.
package rows

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"rrhost/audit"
	"rrhost/cmd/internal/cli"
	"rrhost/internal/envelope"
)

// widest is how many characters of a payload a line shows. JSON shows all.
const widest = 300

// A Printer prints rows to Out.
type Printer struct {
	Out io.Writer
	// Ring opens payloads. Nil leaves them sealed.
	Ring *envelope.Ring
	JSON bool
}

// Print prints one row, as one line.
func (p *Printer) Print(row audit.Row) error {
	if p.JSON {
		return cli.PrintJSON(p.Out, Opened(row, p.Ring))
	}
	_, err := fmt.Fprintln(p.Out, text(row, p.Ring))
	return err
}

// A Line is a row as JSON: with its payload open, or else sealed.
type Line struct {
	audit.Row
	// Payload is there if it could be opened and is JSON.
	Payload json.RawMessage `json:"payload,omitempty"`
	// PayloadBytes is there if it could be opened and is no JSON.
	PayloadBytes []byte `json:"payload_bytes,omitempty"`
	// Sealed is there if it could not be opened.
	Sealed []byte `json:"payload_sealed,omitempty"`
}

// Opened opens a row with ring, which may be nil. The error of a row that could
// be opened is the handler's message.
func Opened(row audit.Row, ring *envelope.Ring) Line {
	line := Line{Row: row}
	payload, body, err := open(&row, ring)
	switch {
	case err != nil:
		line.Sealed = row.Payload
	case json.Valid(payload):
		line.Payload = payload
	default:
		line.PayloadBytes = payload
	}
	if body != nil {
		line.Error = body.Message
	}
	return line
}

// errNoKey is why nothing is opened without a ring.
var errNoKey = errors.New("no key")

func open(row *audit.Row, ring *envelope.Ring) ([]byte, *audit.ErrorBody, error) {
	if ring == nil && len(row.Payload) > 0 {
		return nil, nil, errNoKey
	}
	if ring == nil {
		return nil, nil, audit.ErrNoPayload
	}
	return row.Open(ring)
}

// text is a row for a person: when, what, where in Kafka, whose, how it went, and
// what was said.
func text(row audit.Row, ring *envelope.Ring) string {
	b := new(strings.Builder)
	fmt.Fprintf(b, "%s  %-11s  %s/%d/%d", row.Time.UTC().Format("2006-01-02T15:04:05.000Z"), row.Type, cli.Line(row.Topic), row.Partition, row.Offset)
	if row.Type == audit.TypeGap {
		fmt.Fprintf(b, "  offsets %d to %d were dropped by Kafka before they could be stored", row.Offset, row.GapEnd-1)
		return b.String()
	}
	id := cli.Line(row.RequestID)
	if id == "" {
		id = "-"
	}
	fmt.Fprintf(b, "  %s", id)
	if row.Topic != row.RequestTopic && row.RequestTopic != "" {
		fmt.Fprintf(b, "  %s", cli.Line(row.RequestTopic))
	}
	if row.Status != "" {
		fmt.Fprintf(b, "  %s", cli.Line(row.Status))
	}
	if row.Type == audit.TypeResponse {
		fmt.Fprintf(b, "  %dms", row.DurationMS)
		if row.Attempt > 1 {
			fmt.Fprintf(b, "  attempt %d", row.Attempt)
		}
		if row.Plugin != "" {
			fmt.Fprintf(b, "  %s", cli.Line(row.Plugin))
		}
	}
	fmt.Fprintf(b, "  %s", said(&row, ring))
	return strings.TrimRight(b.String(), " ")
}

// said is what a row's payload says.
func said(row *audit.Row, ring *envelope.Ring) string {
	payload, body, err := open(row, ring)
	switch {
	case errors.Is(err, audit.ErrNoPayload):
		if row.Error != row.Status {
			return cli.Line(row.Error)
		}
		return ""
	case err != nil:
		sealed := fmt.Sprintf("(sealed, %d bytes, key %.8s)", len(row.Payload), row.KeyID)
		if row.KeyID == "" {
			sealed = fmt.Sprintf("(not sealed, %d bytes)", len(row.Payload))
		}
		if row.Error != "" && row.Error != row.Status { // stored readable
			sealed = cli.Line(row.Error) + "  " + sealed
		}
		return sealed
	case body != nil:
		said := body.Message
		if body.Code != "" && body.Code != row.Status {
			said = body.Code + ": " + said
		}
		return short(said)
	}
	return short(string(payload))
}

func short(text string) string {
	if utf8.RuneCountInString(text) <= widest {
		return cli.Line(text)
	}
	cut, n := 0, 0
	for cut = range text {
		if n++; n > widest {
			break
		}
	}
	return fmt.Sprintf("%s… (%d bytes)", cli.Line(text[:cut]), len(text))
}
