package sdk

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestPythonPackage runs the package's own tests and checks, with the tools that
// its pyproject.toml names.
func TestPythonPackage(t *testing.T) {
	pyNeeded(t)
	venv, err := pyTools()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"ruff", "check", "--no-cache"},
		{"ruff", "format", "--no-cache", "--check"},
		{"mypy", "--cache-dir", t.TempDir()},
		{"pytest", "-p", "no:cacheprovider"},
	} {
		cmd := exec.Command(filepath.Join(venv, "bin", args[0]), args[1:]...)
		cmd.Dir = filepath.Join(root, "sdk", "python")
		cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(args, " "), err, text)
		}
	}
}

// pyNeeded is notFast for what installs Python packages.
func pyNeeded(t testing.TB) {
	t.Helper()
	notFast(t, "python3")
	if err := exec.Command("python3", "-c", "import pip, venv, ensurepip").Run(); err != nil {
		t.Fatalf("python3 has no pip or no venv: %v: scripts/services/languages.sh go test …, as in make test", err)
	}
}

// pyVendor is what Python plugins import: the SDK and its dependencies.
func pyVendor(t testing.TB) string {
	t.Helper()
	pyNeeded(t)
	vendor, err := pyInstalled()
	if err != nil {
		t.Fatal(err)
	}
	return vendor
}

// pyInstalled installs by the command that the SDK's README names.
var pyInstalled = sync.OnceValues(func() (string, error) {
	return pyCached("vendor", []string{"pyproject.toml", "rrhost"}, func(sdk, to string) error {
		return pyRun("python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", to, sdk)
	})
})

// pyTools is a virtual environment with the SDK, as it lies here, and its tools.
var pyTools = sync.OnceValues(func() (string, error) {
	return pyCached("tools", []string{"pyproject.toml"}, func(sdk, to string) error {
		if err := pyRun("python3", "-m", "venv", to); err != nil {
			return err
		}
		return pyRun(filepath.Join(to, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "--editable", sdk+"[dev]")
	})
})

// pyCached makes a folder once for each state of some files of the SDK and of the
// Python that is used, and removes those of earlier states.
func pyCached(kind string, of []string, make func(sdk, to string) error) (string, error) {
	sdk, err := filepath.Abs(filepath.Join(root, "sdk", "python"))
	if err != nil {
		return "", err
	}
	version, err := exec.Command("python3", "-c", "import sys; print(sys.executable, sys.version)").Output()
	if err != nil {
		return "", fmt.Errorf("python3: %w", err)
	}
	sum := sha256.New()
	sum.Write(version)
	for _, part := range of {
		err := filepath.WalkDir(filepath.Join(sdk, part), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, ".pyc") {
				return err
			}
			text, err := os.ReadFile(path)
			fmt.Fprintf(sum, "%s %d\n%s", path, len(text), text)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	cache := filepath.Join(sdk, "..", "..", ".cache", "sdk-python", kind)
	to := filepath.Join(cache, hex.EncodeToString(sum.Sum(nil))[:16])
	done := to + ".done" // it cannot be renamed: an environment knows its path
	if _, err := os.Stat(done); err == nil {
		return to, nil
	}
	if err := errors.Join(os.RemoveAll(cache), os.MkdirAll(cache, 0o755)); err != nil {
		return "", err
	}
	if err := make(sdk, to); err != nil {
		return "", fmt.Errorf("install the Python SDK: %w", err)
	}
	return to, os.WriteFile(done, nil, 0o644)
}

func pyRun(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, text)
	}
	return nil
}
