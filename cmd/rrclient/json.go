package main

import (
	"encoding/json"
	"errors"
	"fmt"
)

// checkJSON says where payload is not JSON. It quotes none of it.
func checkJSON(payload []byte) error {
	var raw json.RawMessage
	err := json.Unmarshal(payload, &raw)
	if err == nil {
		return nil
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("the request is not JSON: wrong at byte %d of %d", syntax.Offset, len(payload))
	}
	return errors.New("the request is not JSON")
}
