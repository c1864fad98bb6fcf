package schema

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
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
	f.Fuzz(func(_ *testing.T, schema, text []byte) {
		if s, err := Compile(schema); err == nil {
			s.Check(text)
		}
	})
}
