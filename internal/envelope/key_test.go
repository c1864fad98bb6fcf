package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func mustKey(t testing.TB) Key {
	t.Helper()
	k, err := ParseKey(GenerateKey())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustRing(t testing.TB, active Key, openOnly ...Key) *Ring {
	t.Helper()
	r, err := NewRing(active, openOnly...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGenerateKey(t *testing.T) {
	a, b := GenerateKey(), GenerateKey()
	if a == b {
		t.Error("two generated keys are the same")
	}
	for _, text := range []string{a, b, strings.ToUpper(a)} {
		if _, err := ParseKey(text); err != nil {
			t.Errorf("a generated key does not parse: %v", err)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	canary := "c0ffee"
	tests := map[string]string{
		"empty":       "",
		"short":       strings.Repeat(canary, 10),
		"one short":   strings.Repeat("a", 63),
		"long":        strings.Repeat(canary, 11),
		"not hex":     strings.Repeat("c0ffeg", 10) + "c0ff",
		"with a line": strings.Repeat("a", 63) + "\n",
		"zeros":       strings.Repeat("0", 64),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			k, err := ParseKey(text)
			if err == nil || !k.IsZero() {
				t.Fatalf("ParseKey = %v, %v; want no key and an error", k.IsZero(), err)
			}
			if strings.Contains(err.Error(), "c0ff") {
				t.Errorf("the error quotes the key: %v", err)
			}
		})
	}
}

// spellings are the ways in which the bytes of a key might turn up in a text.
func spellings(k Key) []string {
	b := k.bytes()[:]
	list := []string{
		string(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)),
		base64.StdEncoding.EncodeToString(b), fmt.Sprint(b), fmt.Sprintf("%#v", b), fmt.Sprintf("%q", b),
	}
	for i, s := range list { // brackets and quotes depend on the place
		list[i] = strings.Trim(s, `[]{}"`)
	}
	// Some bytes in a row are a leak too.
	return append(list, fmt.Sprintf("%d %d %d", b[3], b[4], b[5]), fmt.Sprintf("%#x, %#x, %#x", b[3], b[4], b[5]))
}

func TestKeyNeverPrints(t *testing.T) {
	k := mustKey(t)
	type exported struct{ K Key }
	type unexported struct{ k Key }
	ring := mustRing(t, k, mustKey(t))
	values := map[string]any{
		"key": k, "pointer": &k, "slice": []Key{k}, "map": map[string]Key{"k": k}, "array": [1]Key{k},
		"exported field": exported{k}, "unexported field": unexported{k}, "pointer to unexported": &unexported{k},
		"ring": ring, "ring value": *ring, "unknown key": &UnknownKeyError{k.ID()},
	}
	for name, v := range values {
		var out bytes.Buffer
		for verb := 'A'; verb <= 'z'; verb++ {
			for _, flags := range []string{"", "+", "#", "-40", "0", " ", ".3", "# "} {
				fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", v)
			}
		}
		fmt.Fprintln(&out, v)
		if js, err := json.Marshal(v); err == nil {
			out.Write(js)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		hclog.New(&hclog.LoggerOptions{Output: &out}).Info("x", "v", v)
		hclog.New(&hclog.LoggerOptions{Output: &out, JSONFormat: true}).Info("x", "v", v)
		for _, s := range spellings(k) {
			if strings.Contains(out.String(), s) {
				t.Errorf("%s: prints the key as %q", name, s)
			}
		}
	}

	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%40s"} {
		if got := fmt.Sprintf(verb, k); got != masked {
			t.Errorf("Sprintf(%q) = %q, want %s", verb, got, masked)
		}
	}
	if k.String() != masked || k.GoString() != masked {
		t.Errorf("String = %q, GoString = %q", k.String(), k.GoString())
	}
	js, err := json.Marshal(map[string]Key{"k": k})
	if err != nil || string(js) != `{"k":"***"}` {
		t.Errorf("JSON is %s, %v", js, err)
	}
}

func TestKeyID(t *testing.T) {
	k := mustKey(t)
	id := k.ID()
	if id == (KeyID{}) || id != k.ID() || id == mustKey(t).ID() {
		t.Errorf("id %v is not the key's own", id)
	}
	if bytes.Contains(k.bytes()[:], id[:4]) {
		t.Error("the id shows bytes of the key")
	}
	text, err := json.Marshal(id)
	if err != nil || string(text) != `"`+id.String()+`"` || len(id.String()) != 32 {
		t.Errorf("JSON of id %v is %s, %v", id, text, err)
	}
	if (Key{}).ID() != (KeyID{}) {
		t.Error("no key has an id")
	}
}
