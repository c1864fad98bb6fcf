package stream

import (
	"runtime/debug"
	"testing"
)

func TestReleaseOf(t *testing.T) {
	for version, want := range map[string]string{
		"":                                   "",
		"(devel)":                            "",
		"v1.2.3":                             "v1.2.3",
		"v1.2.3-rc.1":                        "v1.2.3-rc.1",
		"v1.2.3+meta":                        "v1.2.3+meta",
		"v2.0.0+incompatible":                "v2.0.0+incompatible",
		"v1.2.3+dirty":                       "",
		"v2.0.0+incompatible.dirty":          "",
		"v0.0.0-20260131120000-0123456789ab": "",
		"v0.0.0-20260131120000-0123456789ab+dirty":          "",
		"v1.2.4-0.20260131120000-0123456789ab":              "",
		"v1.2.3-rc.1.0.20260131120000-0123456789ab":         "",
		"v2.0.1-0.20260131120000-0123456789ab+incompatible": "",
	} {
		if got := ReleaseOf(&debug.BuildInfo{Main: debug.Module{Version: version}}); got != want {
			t.Errorf("ReleaseOf(%q) = %q, want %q", version, got, want)
		}
	}
}
