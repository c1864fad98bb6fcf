package supervise

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"rrhost/internal/stream"
)

// versionOf is the main module's version that Go wrote into the executable, if
// it was built from a release; else the first 12 hex digits of its SHA-256.
func versionOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := buildinfo.Read(f); err == nil {
		if v := stream.ReleaseOf(info); v != "" {
			return v, nil
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}
