package sdk

import (
	"testing"

	"rrhost/internal/conformance"
	"rrhost/internal/process"
)

// TestConformance: the conformance plugin of each SDK passes all of the cases that
// `rrhost plugin test` runs.
func TestConformance(t *testing.T) {
	t.Run("python", func(t *testing.T) {
		conforms(t, pyConfig(t, pyFolder(t, t.TempDir(), "conformance"), nil, new(pyLog)))
	})
	t.Run("typescript", func(t *testing.T) {
		p := typeScript(t)
		for _, runtime := range runtimes {
			t.Run(runtime, func(t *testing.T) {
				conforms(t, process.Config{
					Name: "conformance", Version: "1", Path: p.runtime(t, runtime), Args: []string{"main.mjs"}, Dir: p.path("conformance"), NoTLS: true,
				})
			})
		}
	})
}

func conforms(t *testing.T, cfg process.Config) {
	t.Helper()
	seen := 0
	passed, err := conformance.Run(t.Context(), cfg, patience, func(r conformance.Result) {
		seen++
		if r.Outcome != conformance.OK {
			t.Errorf("%s: %s: %s; wanted: %s (%s)", r.Outcome, r.Case, r.Seen, r.Want, r.Doc)
		}
	})
	if err != nil || !passed || seen == 0 {
		t.Errorf("passed: %v, after %d cases: %v", passed, seen, err)
	}
}
