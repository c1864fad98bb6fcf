package plugindir

import (
	"debug/buildinfo"

	"rrhost/internal/stream"
)

// goVersion is the main module's version that Go wrote into the executable, if
// it was built from a release; else empty.
func goVersion(path string) string {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return "" // not from Go
	}
	return stream.ReleaseOf(info)
}
