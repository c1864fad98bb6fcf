package schema

import (
	"fmt"
	"strings"
	"testing"
)

// payload is one of about a megabyte that takes long to check.
type payload struct{ name, schema, text string }

// repeated uses uniqueItems at every level.
const repeated = `{"items":{"$ref":"#"},"uniqueItems":true}`

func list(n int, item string) string { return "[" + strings.Repeat(item+",", n-1) + item + "]" }

func nest(levels int, inner string) string {
	return strings.Repeat("[0,", levels) + inner + strings.Repeat("]", levels)
}

// unequal are lists whose items differ in as little as possible.
func unequal() []payload {
	var long, many, signs []string
	for i := range 20 {
		long = append(long, fmt.Sprintf("[%s%d]", strings.Repeat("1,", 25_000), i))
	}
	for i := range 130_000 {
		many = append(many, fmt.Sprint(100_000+i))
	}
	for i := range 1 << 15 {
		var item []string
		for bit := range 15 {
			item = append(item, []string{"1", "-1"}[i>>bit&1])
		}
		signs = append(signs, "["+strings.Join(item, ",")+"]")
	}
	const once = `{"uniqueItems":true}`
	return []payload{
		{"many", once, "[" + strings.Join(many, ",") + "]"},
		{"few and long", once, "[" + strings.Join(long, ",") + "]"},
		{"signs", once, "[" + strings.Join(signs, ",") + "]"},
		{"nested too deeply", repeated, nest(1000, "["+strings.Join(many, ",")+"]")},
	}
}

func BenchmarkCheck(b *testing.B) {
	const numbers = `{"items":{"type":"number"}}`
	for _, p := range append(unequal(),
		payload{"numbers", numbers, list(300_000, "1")},
		payload{"strings for numbers", numbers, list(300_000, `"a"`)},
		payload{"as many as are told", numbers, list(130_000, `"a"`)},
		payload{"unknown fields", `{"items":{"additionalProperties":false}}`, list(125_000, `{"a":1}`)},
		payload{"minimum", `{"items":{"minimum":5}}`, list(500_000, "1")},
		payload{"tree", `{"type":["array","object"],"items":{"$ref":"#"},"required":["x"]}`, list(500_000, "1")},
		payload{"nested", repeated, nest(13, `{"a":`+list(500_000, "1")+"}")},
		payload{"nested string", repeated, nest(2300, `"`+strings.Repeat("a", 900_000)+`"`)},
	) {
		s, err := Compile([]byte(p.schema))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(p.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(p.text)))
			for b.Loop() {
				s.Check([]byte(p.text))
			}
		})
	}
}
