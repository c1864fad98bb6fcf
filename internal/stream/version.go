package stream

import (
	"regexp"
	"runtime/debug"
	"strings"
)

// pseudo matches the part of a version that Go makes up from a revision's time:
// v0.0.0-20260131120000-0123456789ab, or with a tag that came before.
var pseudo = regexp.MustCompile(`[-.]\d{14}-[0-9A-Za-z]+$`)

// ReleaseOf is the version of the program that info is about, if it was built
// from a release, else empty. A build in a checkout has a version too, the same
// for all builds of one revision and of what was changed after it: it does not
// tell which one runs.
func ReleaseOf(info *debug.BuildInfo) string {
	v := info.Main.Version
	number, build, _ := strings.Cut(v, "+")
	if v == "(devel)" || strings.Contains(build, "dirty") || pseudo.MatchString(number) {
		return ""
	}
	return v
}
