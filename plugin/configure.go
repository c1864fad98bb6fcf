package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"rrhost/internal/handler"
)

// settings is how the program wants its configuration; set before Serve.
var settings struct {
	mu     sync.Mutex
	take   func(text []byte) error
	schema []byte
}

// OnConfigure sets the function that gets the plugin's own section of the host's
// configuration, [plugin.NAME.config], before the first request. It is called
// before [Serve]. T is decoded by its json tags; a key that T lacks is an error,
// and so is one that fn returns: the host shows it and does not use the plugin.
//
// Without OnConfigure a plugin takes no configuration, and any is an error.
func OnConfigure[T any](fn func(T) error) {
	settings.mu.Lock()
	defer settings.mu.Unlock()
	settings.schema = handler.SettingsSchema[T]()
	settings.take = func(text []byte) error {
		var cfg T
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&cfg); err != nil {
			var kind *json.UnmarshalTypeError
			if errors.As(err, &kind) {
				// A setting may be a secret: name the field, not the value.
				return fmt.Errorf("%s must be of type %s", kind.Field, kind.Type)
			}
			return errors.New(trimJSON(err))
		}
		return fn(cfg)
	}
}

// trimJSON makes encoding/json's text fit for an operator.
func trimJSON(err error) string {
	return string(bytes.TrimPrefix([]byte(err.Error()), []byte("json: ")))
}

// configure is what the host's settings are handed to.
func configure(text []byte) error {
	settings.mu.Lock()
	take := settings.take
	settings.mu.Unlock()
	if take != nil {
		return take(text)
	}
	var some map[string]json.RawMessage
	if err := json.Unmarshal(text, &some); err != nil {
		return errors.New("the settings are no JSON object")
	}
	if len(some) > 0 {
		return errors.New("this plugin takes no configuration")
	}
	return nil
}

// noSettings is the schema of a plugin that takes none.
const noSettings = `{"type": "object", "additionalProperties": false}`

func settingsSchema() []byte {
	settings.mu.Lock()
	defer settings.mu.Unlock()
	if settings.take == nil {
		return []byte(noSettings)
	}
	return settings.schema
}
