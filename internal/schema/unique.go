package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// unique checks uniqueItems in place of the library, which compares up to 20 items
// each with each, and of more those that its hash takes for equal: [1,-1] and
// [-1,1] are such, so that a megabyte of these could keep a core for minutes.
type unique struct{}

// withUnique puts unique into every schema that c compiles, and sets used where
// one has it.
func withUnique(c *jsonschema.Compiler, used *bool) {
	c.RegisterVocabulary(&jsonschema.Vocabulary{
		URL: "plugin:///unique-items",
		Compile: func(ctx *jsonschema.CompilerContext, _ map[string]any) (jsonschema.SchemaExt, error) {
			// The empty path is the schema itself, whose own keywords are compiled by now.
			s := ctx.Enqueue(nil)
			if !s.UniqueItems {
				return nil, nil
			}
			s.UniqueItems, *used = false, true
			return unique{}, nil
		},
	})
	c.AssertVocabs() // in the newer drafts too
}

// Validate reads each item once, however many there are.
func (unique) Validate(ctx *jsonschema.ValidatorContext, v any) {
	items, _ := v.([]any)
	if len(items) < 2 {
		return
	}
	seen := make(map[string]int, len(items))
	var text []byte
	for i, item := range items {
		text = appendCanonical(text[:0], item)
		if first, twice := seen[string(text)]; twice {
			ctx.AddError(&kind.UniqueItems{Duplicates: [2]int{first, i}})
			return
		}
		seen[string(text)] = i
	}
}

// appendCanonical appends what is the same for equal values alone.
func appendCanonical(text []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendString(text, v)
	case json.Number:
		return appendNumber(text, string(v))
	case []any:
		text = append(text, '[')
		for _, item := range v {
			text = append(appendCanonical(text, item), ',')
		}
		return append(text, ']')
	case map[string]any:
		text = append(text, '{')
		for _, key := range slices.Sorted(maps.Keys(v)) {
			text = append(appendCanonical(appendString(text, key), v[key]), ',')
		}
		return append(text, '}')
	}
	return fmt.Append(text, v) // true, false and null
}

// appendString appends s with its length, which is quicker than quoting it.
func appendString(text []byte, s string) []byte {
	text = strconv.AppendInt(append(text, '"'), int64(len(s)), 10)
	return append(append(text, '"'), s...)
}

// appendNumber appends a JSON number as an integer without zeros at its ends and an
// exponent: 1.50, 15e-1 and 0.15E1 are all 15e-1.
func appendNumber(text []byte, number string) []byte {
	digits, negative := strings.CutPrefix(number, "-")
	exponent := 0
	if at := strings.IndexAny(digits, "eE"); at >= 0 {
		exponent, _ = strconv.Atoi(digits[at+1:]) // measure has seen to it
		digits = digits[:at]
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	exponent -= len(fraction)
	digits = strings.TrimLeft(whole+fraction, "0")
	short := strings.TrimRight(digits, "0")
	if short == "" {
		return append(text, '0') // -0 and 0e5 as well
	}
	if negative {
		text = append(text, '-')
	}
	text = append(text, short...)
	return strconv.AppendInt(append(text, 'e'), int64(exponent+len(digits)-len(short)), 10)
}
