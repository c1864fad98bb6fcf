// Package schema holds JSON against a JSON Schema that a plugin gave.
package schema

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// A Schema is ready to check with, by any number of goroutines.
type Schema struct{ compiled *jsonschema.Schema }

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
	return fmt.Sprintf("field %q %s", strings.Join(m.Path, "."), m.What)
}

// noLoader keeps a schema from making the host read files or ask servers.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, errors.New("a plugin's schema must hold all that it refers to")
}

// Compile makes a schema ready. Drafts 4 to 2020-12 are known; without $schema it
// is the newest.
func Compile(text []byte) (*Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("the schema is not JSON: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	const name = "schema.json"
	if err := c.AddResource(name, doc); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	compiled, err := c.Compile(name)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return &Schema{compiled}, nil
}

// Check lists what does not fit in a JSON text; nothing if all does.
func (s *Schema) Check(text []byte) []Mistake {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return []Mistake{{What: "is not JSON"}}
	}
	var wrong *jsonschema.ValidationError
	if err := s.compiled.Validate(value); errors.As(err, &wrong) {
		return leaves(wrong, nil)
	} else if err != nil {
		return []Mistake{{What: "does not fit the schema"}}
	}
	return nil
}

// leaves are the errors that have no further cause.
func leaves(e *jsonschema.ValidationError, list []Mistake) []Mistake {
	if len(e.Causes) == 0 {
		return append(list, mistakes(e)...)
	}
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
		// Each alternative has causes of its own, which would all be told as if
		// all were wanted.
		return append(list, Mistake{e.InstanceLocation, "fits none of the forms that are allowed"})
	}
	for _, c := range e.Causes {
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
		for _, p := range k.Properties {
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
