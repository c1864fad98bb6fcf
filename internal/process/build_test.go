package process

import (
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
)

func buildPlugin(dir, pkg string) (string, error) {
	out := filepath.Join(dir, path.Base(pkg))
	if text, err := exec.Command("go", "build", "-o", out, pkg).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return out, nil
}
