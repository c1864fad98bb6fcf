package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"rrhost/audit/internal/trail"
	"rrhost/config"
	"rrhost/internal/envelope"
	"rrhost/internal/wire"
)

// Whoever has the key can seal a reply of any text, and a store that refuses its
// row is asked again for ever.
func TestPlainErrorTextIsBounded(t *testing.T) {
	ring, err := config.Config{Encryption: config.Encryption{Key: config.Secret(envelope.GenerateKey())}}.Ring()
	if err != nil {
		t.Fatal(err)
	}
	d := newDecoder(config.Config{}, ring)
	for name, message := range map[string]string{
		"short": "account 7 is closed", "long": "ä" + strings.Repeat("a", 1<<20), "long, of two bytes each": "a" + strings.Repeat("ä", 1<<19),
	} {
		body, err := json.Marshal(wire.ErrorBody{Code: "c", Message: message})
		if err != nil {
			t.Fatal(err)
		}
		r := trail.Row{Type: trail.Response, RequestTopic: "echo", Status: string(wire.StatusHandlerError)}
		r.Payload = ring.Seal(nil, body, r.About())
		got := d.errorText(&r)
		if !strings.HasPrefix(message, got) || !utf8.ValidString(got) || len(got) < min(len(message), 8<<10-1) || len(got) > 8<<10 {
			t.Errorf("%s: of %d bytes, %d are stored: %.20q", name, len(message), len(got), got)
		}
		without := r.Size()
		if r.Error = got; r.Size() != without+len(got) {
			t.Errorf("%s: a row of %d bytes has %d with a text of %d", name, without, r.Size(), len(got))
		}
	}
}
