package handler

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"

	"github.com/google/jsonschema-go/jsonschema"
)

// requestSchema describes what [New] takes, which is more than the type's own
// schema: fields may be missing, and unknown ones are ignored.
func requestSchema[In any]() json.RawMessage {
	return schemaOf[In](func(s *jsonschema.Schema) {
		s.Required = nil
		s.AdditionalProperties = open(s.AdditionalProperties)
	})
}

func responseSchema[Out any]() json.RawMessage {
	return schemaOf[Out](func(s *jsonschema.Schema) {
		// An older requester must take a newer plugin's reply.
		s.AdditionalProperties = open(s.AdditionalProperties)
	})
}

// SettingsSchema describes the settings that a plugin decodes into a T: fields may
// be missing, and unknown ones are mistakes.
func SettingsSchema[T any]() json.RawMessage {
	return schemaOf[T](func(s *jsonschema.Schema) { s.Required = nil })
}

// schemaOf is nil where a type has no schema, such as one that contains itself:
// a schema is a help to people, no condition of service. A jsonschema tag that
// cannot be used is a mistake in the source, and panics.
func schemaOf[T any](relax func(*jsonschema.Schema)) json.RawMessage {
	mustDescribe(reflect.TypeFor[T](), make(map[reflect.Type]bool))
	s, err := jsonschema.For[T](&jsonschema.ForOptions{IgnoreInvalidTypes: true})
	if err != nil || s == nil {
		return nil
	}
	each(s, relax)
	text, err := json.Marshal(s)
	if err != nil {
		return nil
	}
	return text
}

// assignment begins tags that jsonschema keeps for what it may come to mean.
var assignment = regexp.MustCompile(`^[^ \t\n]*=`)

// mustDescribe panics if a field within t, as JSON has it, has a jsonschema tag
// that is no description.
func mustDescribe(t reflect.Type, seen map[reflect.Type]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		mustDescribe(t.Elem(), seen)
		return
	case reflect.Struct:
	default:
		return
	}
	if seen[t] {
		return
	}
	seen[t] = true
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("json") == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		if tag, ok := f.Tag.Lookup("jsonschema"); ok && (tag == "" || assignment.MatchString(tag)) {
			panic(fmt.Sprintf("handler: field %s of %s has the tag jsonschema:%q: write a description in words there, or a schema of your own with WithRequestSchema", f.Name, t, tag))
		}
		mustDescribe(f.Type, seen)
	}
}

// each applies do to s and to the schemas within it.
func each(s *jsonschema.Schema, do func(*jsonschema.Schema)) {
	if s == nil {
		return
	}
	do(s)
	for _, p := range s.Properties {
		each(p, do)
	}
	for _, d := range s.Defs {
		each(d, do)
	}
	for _, p := range s.PrefixItems {
		each(p, do)
	}
	each(s.Items, do)
	each(s.AdditionalProperties, do)
}

// open lifts "no other properties" and keeps a map's schema of its values.
func open(s *jsonschema.Schema) *jsonschema.Schema {
	if s != nil && s.Not != nil {
		return nil
	}
	return s
}
