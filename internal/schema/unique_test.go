package schema

import (
	"fmt"
	"testing"
	"time"
)

// TestUniqueItems: values are equal as the standard has it, in every draft, and
// wherever in a schema they are asked for.
func TestUniqueItems(t *testing.T) {
	alike := [][]string{
		{`1`, `1.0`, `1.00`, `10e-1`, `0.1E+1`, `0.01e2`},
		{`-1`, `-1.0`, `-10e-1`},
		{`0`, `-0`, `0.0`, `0e5`, `-0.00e-7`},
		{`10`, `1e1`, `1E+01`, `100e-1`},
		{`1e400`, `10e399`},
		{`1e-400`, `0.1e-399`},
		{`1000000000000000000001`}, {`1000000000000000000002`},
		{`"1"`, `"\u0031"`},
		{`""`}, {`"a"`}, {`"1\"a"`}, {`"0"`}, {`"null"`},
		{`true`}, {`false`}, {`null`},
		{`[]`}, {`{}`}, {`[[]]`}, {`[{}]`}, {`[1]`, `[1.0]`}, {`["1"]`}, {`[1,2]`}, {`[2,1]`}, {`[1,-1]`}, {`[-1,1]`}, {`[12]`},
		{`["a","b"]`}, {`["a\u0004b"]`}, {`["a,b"]`}, {`[["a"],"b"]`}, {`[["a","b"]]`},
		{`{"a":1,"b":2}`, `{"b":2,"a":1e0}`}, {`{"a":2,"b":1}`}, {`{"a":{"b":1}}`}, {`{"a":null}`}, {`{"a":[]}`},
	}
	for _, draft := range []string{"draft-04/schema", "draft-06/schema", "draft-07/schema", "draft/2019-09/schema", "draft/2020-12/schema"} {
		s, err := Compile(fmt.Appendf(nil, `{"$schema":"https://json-schema.org/%s","properties":{"list":{"type":"array","uniqueItems":true}}}`, draft))
		if err != nil {
			t.Fatal(err)
		}
		check := func(want bool, a, b string) {
			t.Helper()
			wrong := s.Check(fmt.Appendf(nil, `{"list":[%s,%s]}`, a, b))
			if (len(wrong) == 0) != want {
				t.Errorf("%s: %s and %s: %v", draft, a, b, wrong)
			} else if !want && wrong[0].String() != `field "list" does not fit the schema's uniqueItems` {
				t.Errorf("%s: %v", draft, wrong)
			}
		}
		for i, some := range alike {
			for _, a := range some {
				for _, b := range some {
					check(false, a, b)
				}
				for _, others := range alike[i+1:] {
					check(true, a, others[0])
				}
			}
		}
		if wrong := s.Check([]byte(`{"list":[],"other":[1,1]}`)); wrong != nil {
			t.Errorf("%s: %v", draft, wrong)
		}
	}
	for _, schema := range []string{`{"uniqueItems":false}`, `{"not":{"uniqueItems":true}}`} {
		if s, err := Compile([]byte(schema)); err != nil {
			t.Error(err)
		} else if wrong := s.Check([]byte(`[1,1]`)); wrong != nil {
			t.Errorf("%s: %v", schema, wrong)
		}
	}
}

// TestUniqueItemsIsLinear: a megabyte of what is nearly equal takes a fraction of a
// second. Compared each with each, it takes minutes.
func TestUniqueItemsIsLinear(t *testing.T) {
	for _, p := range unequal() {
		s, err := Compile([]byte(p.schema))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		wrong := s.Check([]byte(p.text))
		took := time.Since(start)
		t.Logf("%s: %v", p.name, took)
		if took > 20*time.Second {
			t.Errorf("%s: took %v", p.name, took)
		}
		if tooDeep := p.schema == repeated; tooDeep != (fmt.Sprint(wrong) == "[the payload is nested too deeply for a schema with uniqueItems]") || !tooDeep && wrong != nil {
			t.Errorf("%s: %v", p.name, wrong)
		}
	}
}
