// Package schema holds JSON against a JSON Schema that a plugin gave.
package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// A Schema is ready to check with, by any number of goroutines.
type Schema struct {
	compiled *jsonschema.Schema
	inverse  *jsonschema.Schema // fits what compiled does not
	unique   bool               // uniqueItems is somewhere in it
}

// What a check costs is bounded by the length of what is checked, since whoever
// may write to a topic chooses that.
const (
	// mostDigits and mostExponent bound the numbers: they are compared exactly, and
	// 1e999999 has a million digits.
	mostDigits, mostExponent = 100, 400
	// mostMistakes is how many are told.
	mostMistakes = 20
	// mostPlaces bounds the values times their depth, which is what the places of
	// as many mistakes take. Beyond, only whether all fits is found out.
	mostPlaces = 1 << 18
	// mostNesting bounds the places for each byte where there are more than
	// mostPlaces and a schema has uniqueItems, which may read a value once for each
	// array around it.
	mostNesting = 8
)

// A Mistake is one part of a value that does not fit. It quotes nothing of the
// value: it may be a secret.
type Mistake struct {
	Path []string // keys and indexes from the top; empty: the value as a whole
	What string   // such as "is a string, and number is wanted"
}

// String is the mistake with its place, as in "field a.b is a string, …".
func (m Mistake) String() string {
	if len(m.Path) == 0 {
		return "the payload " + m.What
	}
	return fmt.Sprintf("field %q %s", m.place(), m.What)
}

// place is the path for people.
func (m Mistake) place() string { return strings.Join(m.Path, ".") }

// noLoader keeps a schema from making the host read files or ask servers.
type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errors.New("it is not in the schema") }

// Compile makes a schema ready. Drafts 4 to 2020-12 are known; without $schema it
// is the newest. An error is one line.
func Compile(text []byte) (*Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("the schema is not JSON: %w", err)
	}
	if _, wrong := measure(doc, nil); wrong != nil {
		return nil, unusable(*wrong)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	s := new(Schema)
	withUnique(c, &s.unique)
	// Absolute, or the working directory would be put before it.
	const name, inverse = "plugin:///schema.json", "plugin:///inverse.json"
	if err := c.AddResource(name, doc); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if err := c.AddResource(inverse, map[string]any{"not": map[string]any{"$ref": name}}); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if s.compiled, err = c.Compile(name); err == nil {
		s.inverse, err = c.Compile(inverse)
	}
	var invalid *jsonschema.SchemaValidationError
	var wrong *jsonschema.ValidationError
	var elsewhere *jsonschema.LoadURLError
	switch {
	case err == nil:
		return s, nil
	case errors.As(err, &invalid) && errors.As(invalid.Err, &wrong):
		if list := leaves(wrong, nil); len(list) > 0 {
			return nil, unusable(list[0])
		}
	case errors.As(err, &elsewhere):
		return nil, fmt.Errorf("schema: it refers to %q, and must hold all that it refers to", elsewhere.URL)
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return nil, fmt.Errorf("schema: %s", line)
}

// unusable is the error for a mistake in a schema.
func unusable(m Mistake) error {
	if len(m.Path) == 0 {
		return fmt.Errorf("schema: the whole %s", m.What)
	}
	return fmt.Errorf("schema: %q %s", m.place(), m.What)
}

// Check lists what does not fit in a JSON text, or the first of it; nothing if
// all fits. It may take two seconds for a megabyte of values, so it is for a
// goroutine that nobody waits for.
func (s *Schema) Check(text []byte) []Mistake {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return []Mistake{{What: "is not JSON"}}
	}
	places, beyond := measure(value, nil)
	if beyond != nil {
		return []Mistake{*beyond}
	}
	if places > mostPlaces {
		if s.unique && places/mostNesting > len(text) {
			return []Mistake{{What: "is nested too deeply for a schema with uniqueItems"}}
		}
		if s.inverse.Validate(value) != nil {
			return nil
		}
		return []Mistake{{What: "does not fit the schema, and is too large to say where"}}
	}
	var wrong *jsonschema.ValidationError
	if err := s.compiled.Validate(value); errors.As(err, &wrong) {
		return leaves(wrong, nil)
	} else if err != nil {
		return []Mistake{{What: "does not fit the schema"}}
	}
	return nil
}

// measure is the sum of the depths of all values in v, which is at path, or the
// first number beyond what may be compared.
func measure(v any, path []string) (places int, beyond *Mistake) {
	places = len(path) + 1
	switch v := v.(type) {
	case json.Number:
		if !ordinary(string(v)) {
			return 0, &Mistake{slices.Clone(path), fmt.Sprintf("is a number of more than %d characters, or with an exponent beyond %d", mostDigits, mostExponent)}
		}
	case []any:
		for i, item := range v {
			below, beyond := measure(item, append(path, strconv.Itoa(i)))
			if beyond != nil {
				return 0, beyond
			}
			places += below
		}
	case map[string]any:
		for key, item := range v {
			below, beyond := measure(item, append(path, key))
			if beyond != nil {
				return 0, beyond
			}
			places += below
		}
	}
	return places, nil
}

func ordinary(number string) bool {
	if len(number) > mostDigits {
		return false
	}
	at := strings.IndexAny(number, "eE")
	if at < 0 {
		return true
	}
	exponent, err := strconv.Atoi(number[at+1:])
	return err == nil && -mostExponent <= exponent && exponent <= mostExponent
}

// leaves adds the errors that have no further cause, until there are mostMistakes.
func leaves(e *jsonschema.ValidationError, list []Mistake) []Mistake {
	if len(e.Causes) == 0 {
		list = append(list, mistakes(e)...)
		return list[:min(len(list), mostMistakes)]
	}
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
		// Each alternative has causes of its own, which would all be told as if
		// all were wanted.
		return append(list, Mistake{e.InstanceLocation, "fits none of the forms that are allowed"})
	}
	for _, c := range e.Causes {
		if len(list) >= mostMistakes {
			break
		}
		list = leaves(c, list)
	}
	return list
}

func mistakes(e *jsonschema.ValidationError) []Mistake {
	one := func(format string, args ...any) []Mistake {
		return []Mistake{{e.InstanceLocation, fmt.Sprintf(format, args...)}}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		return one("is a JSON %s, and %s is wanted", k.Got, strings.Join(k.Want, " or "))
	case *kind.Required:
		return one("lacks %s", quoted(k.Missing))
	case *kind.AdditionalProperties:
		var list []Mistake
		for _, p := range k.Properties[:min(len(k.Properties), mostMistakes)] {
			list = append(list, Mistake{append(e.InstanceLocation[:len(e.InstanceLocation):len(e.InstanceLocation)], p), "is not known"})
		}
		return list
	case *kind.Enum:
		return one("is none of the values that are allowed")
	case *kind.Const:
		return one("is not the value that is wanted")
	case *kind.Minimum:
		return one("is below %s", k.Want.RatString())
	case *kind.Maximum:
		return one("is above %s", k.Want.RatString())
	case *kind.ExclusiveMinimum:
		return one("is not above %s", k.Want.RatString())
	case *kind.ExclusiveMaximum:
		return one("is not below %s", k.Want.RatString())
	case *kind.MinLength:
		return one("has %d characters, and at least %d are wanted", k.Got, k.Want)
	case *kind.MaxLength:
		return one("has %d characters, and at most %d are wanted", k.Got, k.Want)
	case *kind.MinItems:
		return one("has %d items, and at least %d are wanted", k.Got, k.Want)
	case *kind.MaxItems:
		return one("has %d items, and at most %d are wanted", k.Got, k.Want)
	case *kind.Pattern:
		return one("does not match %s", k.Want)
	case *kind.Format:
		return one("is no %s", k.Want)
	}
	return one("does not fit the schema's %s", strings.Join(e.ErrorKind.KeywordPath(), "/"))
}

func quoted(names []string) string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(list, ", ")
}
