package schema

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"rrhost/internal/testservices"
)

const order = `{
	"type": "object", "required": ["id"], "additionalProperties": false,
	"properties": {
		"id": {"type": "string", "minLength": 2, "pattern": "^[a-z]+$"},
		"n": {"type": "integer", "minimum": 1, "maximum": 9},
		"list": {"type": "array", "maxItems": 1, "items": {"type": "number"}},
		"kind": {"enum": ["a", "b"]},
		"either": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["x"]}]}
	}
}`

func TestCheck(t *testing.T) {
	s, err := Compile([]byte(order))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]string{
		`{"id":"abc","n":1,"list":[1.5],"kind":"a","either":"x"}`: nil,
		`{"id":"abc","n":9007199254740993}`:                       {`field "n" is above 9`},
		`s3cret`:                                                  {"the payload is not JSON"},
		`"s3cret"`:                                                {"the payload is a JSON string, and object is wanted"},
		`{"id":"s3cret"}`:                                         {`field "id" does not match ^[a-z]+$`},
		`{}`:                                                      {`the payload lacks "id"`},
		`{"id":"ab","s3":1}`:                                      {`field "s3" is not known`},
		`{"id":"ab","n":0}`:                                       {`field "n" is below 1`},
		`{"id":"ab","n":"s3cret"}`:                                {`field "n" is a JSON string, and integer is wanted`},
		`{"id":"ab","list":["s3cret"]}`:                           {`field "list.0" is a JSON string, and number is wanted`},
		`{"id":"ab","list":[1,2]}`:                                {`field "list" has 2 items, and at most 1 are wanted`},
		`{"id":"ab","kind":"s3cret"}`:                             {`field "kind" is none of the values that are allowed`},
		`{"id":"ab","either":{"s3cret":1}}`:                       {`field "either" fits none of the forms that are allowed`},
	} {
		var got []string
		for _, m := range s.Check([]byte(text)) {
			got = append(got, m.String())
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		if strings.Contains(fmt.Sprint(got), "s3cret") {
			t.Errorf("%s: %q quotes the value", text, got)
		}
	}
}

// What a request costs must not grow with what its numbers are worth: nine bytes
// may name a number of a million digits.
func TestNumbersBeyondReason(t *testing.T) {
	testservices.Long(t)
	for _, text := range []string{`{"n":{"minimum":1}}`, `{"type":"integer"}`, `{"const":1}`, `{"uniqueItems":true}`, `{"multipleOf":0.5}`} {
		s, err := Compile([]byte(`{"additionalProperties":` + text + `,"items":` + text + `}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, number := range []string{
			"1e999999", "1E+999999", "-1e-999999", "1e99999999999999999999", "1e401", "1e-401", "1" + strings.Repeat("0", 999_000),
		} {
			payload := []byte(`{"a":{"n":1},"b":[[` + number + `,` + number + `]]}`)
			var got []Mistake
			if took := testservices.Least(func() { got = s.Check(payload) }); took > 500*time.Millisecond {
				t.Errorf("%.20s against %s took %v", number, text, took)
			}
			if len(got) != 1 || got[0].String() != `field "b.0.0" is a number of more than 100 characters, or with an exponent beyond 400` {
				t.Errorf("%.20s: %.200q", number, got)
			}
		}
	}
	s, err := Compile([]byte(`{"type":"number"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, number := range []string{"1e400", "1E+400", "-1.5e-400", "1e-0000", "-0", strings.Repeat("9", 100)} {
		if wrong := s.Check([]byte(number)); wrong != nil {
			t.Errorf("%s: %v", number, wrong)
		}
	}
	if _, err := Compile([]byte(`{"multipleOf":1e-999999}`)); err == nil {
		t.Error("a schema with a number beyond reason was compiled")
	}
}

// A payload of nothing but mistakes must cost about what a good one costs, also
// where each is far down: what is kept of each grows with its depth.
func TestMistakesAreBounded(t *testing.T) {
	testservices.Long(t)
	s, err := Compile([]byte(`{"$id":"http://example.com/tree","type":["array","object"],"items":{"$ref":"#"},"required":["x"]}`))
	if err != nil {
		t.Fatal(err)
	}
	deep := strings.Repeat("[", 5000)
	for name, text := range map[string]string{
		"wide": "[" + strings.Repeat("1,", 490_000) + "1]",
		"deep": deep + strings.Repeat("1,", 200_000) + "1" + strings.Repeat("]", len(deep)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		got := s.Check([]byte(text))
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		t.Logf("%s: %v, %d MB", name, took, (after.TotalAlloc-before.TotalAlloc)>>20)
		if len(got) == 0 || len(got) > mostMistakes {
			t.Errorf("%s: %d mistakes, want 1 to %d", name, len(got), mostMistakes)
		}
		if took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		if made := after.TotalAlloc - before.TotalAlloc; made > 1<<30 {
			t.Errorf("%s: made %d MB of garbage", name, made>>20)
		}
	}
	good := "[" + strings.Repeat(`[],{"x":1},`, 50_000) + "[]]"
	if wrong := s.Check([]byte(good)); wrong != nil {
		t.Errorf("a large payload that fits: %.200q", wrong)
	}
}

func TestCompileErrorsAreOneLine(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                         "the schema is not JSON: unexpected EOF",
		`{"type": 5}`:               `schema: "type" fits none of the forms that are allowed`,
		`5`:                         `schema: the whole is a JSON number, and boolean or object is wanted`,
		`{"properties":{"a":[]}}`:   `schema: "properties.a" is a JSON array, and boolean or object is wanted`,
		`{"$ref": "file:///etc/x"}`: `schema: it refers to "file:///etc/x", and must hold all that it refers to`,
		`{"$ref": "other.json"}`:    `schema: it refers to "plugin:///other.json", and must hold all that it refers to`,
		`{"$ref": "#/$defs/a"}`:     `schema: json-pointer in "plugin:///schema.json#/$defs/a" not found`,
		`{"minimum": 1e999}`:        `schema: "minimum" is a number of more than 100 characters, or with an exponent beyond 400`,
	} {
		if _, err := Compile([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s: %q, want %q", text, err, want)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, text := range []string{``, `{`, `{"type": 5}`, `{"$ref": "file:///etc/hostname"}`, `{"$ref": "http://127.0.0.1:1/x"}`} {
		if _, err := Compile([]byte(text)); err == nil {
			t.Errorf("%s was compiled", text)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(order), []byte(`{"id":"ab"}`))
	f.Add([]byte(`{"$ref":"#"}`), []byte(`1`))
	f.Add([]byte(`{"type":"integer"}`), []byte(`1e999999`))
	f.Add([]byte(`{"items":{"minimum":1}}`), []byte(`[1e400,-1E-400,1e+401]`))
	f.Add([]byte(`{"items":{"$ref":"#"},"required":["x"]}`), []byte(`[[[[{}]]],[1,2]]`))
	f.Fuzz(func(_ *testing.T, schema, text []byte) {
		if s, err := Compile(schema); err == nil {
			s.Check(text)
		}
	})
}
