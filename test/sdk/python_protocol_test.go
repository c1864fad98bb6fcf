package sdk

import (
	"testing"

	"rrhost/internal/conformance"
)

// TestPythonProtocol: the conformance plugin passes all of the cases that `rrhost
// plugin test` runs.
func TestPythonProtocol(t *testing.T) {
	seen := 0
	cfg := pyConfig(t, pyFolder(t, t.TempDir(), "conformance"), nil, new(pyLog))
	passed, err := conformance.Run(t.Context(), cfg, conformance.Options{StartTimeout: patience}, func(r conformance.Result) {
		seen++
		if r.Outcome != conformance.OK {
			t.Errorf("%s: %s: %s; wanted: %s (%s)", r.Outcome, r.Case, r.Seen, r.Want, r.Doc)
		}
	})
	if err != nil || !passed || seen == 0 {
		t.Errorf("passed: %v, after %d cases: %v", passed, seen, err)
	}
}
