package supervise

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"rrhost/internal/process"
	"rrhost/internal/schema"
	"rrhost/internal/stream"
)

// CheckSettings holds a plugin's settings against its own schema. place tells
// where a key of the [plugin.NAME.config] section stands. All mistakes are told at
// once; they quote no value.
func CheckSettings(about stream.About, settings map[string]any, place func(keys ...string) string) error {
	if about.ConfigSchema == nil {
		return nil
	}
	s, err := schema.Compile(about.ConfigSchema)
	if err != nil {
		return &process.RefusedError{Reason: "the schema of its configuration cannot be used: " + err.Error()}
	}
	if settings == nil {
		settings = map[string]any{}
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return &process.RefusedError{Reason: "its settings have no JSON form"}
	}
	var errs []error
	for _, m := range s.Check(text) {
		name := "the section"
		if len(m.Path) > 0 {
			name = strings.Join(m.Path, ".")
		}
		if at := place(m.Path...); at != "" {
			name = at + ": " + name
		}
		errs = append(errs, fmt.Errorf("%s %s", name, m.What))
	}
	if len(errs) > 0 {
		return &process.RefusedError{Reason: "its configuration is wrong: " + errors.Join(errs...).Error()}
	}
	return nil
}
