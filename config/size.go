package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const wantSize = `write a number of bytes, or text such as "64MiB"`

// units of sizes, largest first.
var units = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// parseSize reads a whole number with a unit of 1024s, or tells what would be
// right.
func parseSize(s string) (n int64, want string) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 {
			break
		}
		if n > math.MaxInt64/u.bytes {
			return 0, "write a smaller one"
		}
		return n * u.bytes, ""
	}
	digits := strings.TrimRight(s, "bBiIkKmMgGtT ")
	if n, err := strconv.ParseUint(digits, 10, 32); err == nil {
		switch unit := strings.ToUpper(strings.TrimSpace(s[len(digits):])); unit {
		case "":
			return 0, fmt.Sprintf("write %d without quotes, or a unit: KiB, MiB, GiB", n)
		case "K", "KB", "KIB", "M", "MB", "MIB", "G", "GB", "GIB", "T", "TB", "TIB":
			return 0, fmt.Sprintf(`write "%d%ciB"`, n, unit[0])
		}
	}
	return 0, wantSize
}

// formatSize prints a size in the largest unit that divides it.
func formatSize(n int64) string {
	for _, u := range units {
		if u.bytes > 1 && n != 0 && n%u.bytes == 0 {
			return strconv.Quote(strconv.FormatInt(n/u.bytes, 10) + u.name)
		}
	}
	return strconv.FormatInt(n, 10)
}
