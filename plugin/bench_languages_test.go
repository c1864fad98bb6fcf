package plugin_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

type pluginContender struct{ name, path string }

// pluginContenders are plugins of all languages whose tools are installed, built as
// their READMEs say.
func pluginContenders(b *testing.B) []pluginContender {
	sdk, err := filepath.Abs("../sdk")
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	run(b, "", "go", "build", "-o", filepath.Join(dir, "echo"), "rrhost/plugins/echo")
	list := []pluginContender{{"Go plugin", filepath.Join(dir, "echo")}}

	if installed(b, "node", "npm") {
		node := filepath.Join(dir, "typescript")
		copyTracked(b, filepath.Join(sdk, "typescript"), node)
		run(b, node, "npm", "ci", "--silent")
		run(b, node, "npm", "run", "--silent", "build")
		run(b, node, "npm", "run", "--silent", "plugins")
		list = append(list, pluginContender{"Node plugin", filepath.Join(node, "conformance")})
		// The same bundle, run by the Bun that the package is tested with.
		bun := filepath.Join(dir, "bun")
		if err := os.CopyFS(bun, os.DirFS(filepath.Join(node, "conformance"))); err != nil {
			b.Fatal(err)
		}
		program := filepath.Join(node, "node_modules", ".bin", "bun")
		edit(b, filepath.Join(bun, "plugin.toml"), `["node", `, `["env", "`+program+`", `)
		list = append(list, pluginContender{"Bun plugin", bun})
	}
	if installed(b, "python3") {
		python := filepath.Join(dir, "python")
		copyTracked(b, filepath.Join(sdk, "python", "conformance"), python)
		run(b, python, "python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", "vendor", filepath.Join(sdk, "python"))
		list = append(list, pluginContender{"Python plugin", python})
	}
	return list
}

func installed(b *testing.B, programs ...string) bool {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			b.Logf("left out: %v", err)
			return false
		}
	}
	return true
}

func run(b *testing.B, dir, program string, args ...string) string {
	b.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// copyTracked copies what git has of a folder: nothing that was built there.
func copyTracked(b *testing.B, from, to string) {
	b.Helper()
	for _, name := range strings.FieldsFunc(run(b, from, "git", "ls-files", "-z"), func(r rune) bool { return r == 0 }) {
		info, err := os.Stat(filepath.Join(from, name))
		if err != nil {
			b.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			b.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), text, info.Mode().Perm()); err != nil {
			b.Fatal(err)
		}
	}
}

func edit(b *testing.B, path, old, text string) {
	b.Helper()
	was, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	if !strings.Contains(string(was), old) {
		b.Fatalf("%s has no %s", path, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(was), old, text, 1)), 0o644); err != nil {
		b.Fatal(err)
	}
}
