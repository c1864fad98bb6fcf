package handler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// decode reads a payload into what a handler takes. Its errors are payload
// errors: they name the field and what was wanted, and quote nothing, because
// they reach logs.
func decode(payload []byte, into any, nullable bool) error {
	if len(bytes.TrimSpace(payload)) == 0 {
		return &payloadError{"the payload is empty; JSON is wanted"}
	}
	if !nullable && bytes.Equal(bytes.TrimSpace(payload), []byte("null")) {
		return &payloadError{"the payload is null"}
	}
	err := json.Unmarshal(payload, into)
	if err == nil {
		return nil
	}
	var (
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &syntax):
		return &payloadError{fmt.Sprintf("the payload is not JSON (at byte %d)", syntax.Offset)}
	case errors.As(err, &kind):
		// Value is such as "number 300": the first word is the kind.
		got, _, _ := strings.Cut(kind.Value, " ")
		if kind.Field == "" {
			return &payloadError{fmt.Sprintf("the payload is a JSON %s, and %s is wanted", got, jsonKind(kind.Type))}
		}
		return &payloadError{fmt.Sprintf("field %q is a JSON %s, and %s is wanted", kind.Field, got, jsonKind(kind.Type))}
	}
	// The author's own UnmarshalJSON: its text may quote what it was given.
	return &payloadError{"the payload is not what the handler takes"}
}

// jsonKind names the JSON that fits a Go type.
func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return jsonKind(t.Elem())
	case reflect.Bool:
		return "a boolean"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Float32, reflect.Float64:
		return "a number that fits " + t.Kind().String()
	default:
		return "a whole number that fits " + t.Kind().String()
	}
}

// takesNull reports whether null is a value of t and not only the absence of
// one, or t decodes itself.
func takesNull(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return true
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		return true
	}
	return false
}
