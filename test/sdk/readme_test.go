package sdk

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rrhost/internal/plugindir"
)

// A readme is an SDK's README.md, of which a test does what it says.
type readme struct{ text string }

func readReadme(t *testing.T, path string) readme {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return readme{string(text)}
}

// block is the only fenced block of a language that holds a text.
func (r readme) block(t *testing.T, language, with string) string {
	t.Helper()
	var found []string
	for _, b := range regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$").FindAllStringSubmatch(r.text, -1) {
		if b[1] == language && strings.Contains(b[2], with) {
			found = append(found, b[2])
		}
	}
	if len(found) != 1 {
		t.Fatalf("the README has %d blocks of %q with %q, want one", len(found), language, with)
	}
	return found[0]
}

// write puts a block into a file.
func (r readme) write(t *testing.T, path, language, with string, change ...string) {
	t.Helper()
	text := strings.NewReplacer(change...).Replace(r.block(t, language, with))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestPythonReadme: the plugin of the README, made with its commands, answers from
// the plugin directory.
func TestPythonReadme(t *testing.T) {
	pyNeeded(t)
	repo, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	r := readReadme(t, filepath.Join(repo, "sdk", "python", "README.md"))
	dir := t.TempDir()
	folder, plugins := filepath.Join(dir, "price"), filepath.Join(dir, "plugins")
	if err := os.Mkdir(plugins, 0o700); err != nil {
		t.Fatal(err)
	}
	r.write(t, filepath.Join(folder, "main.py"), "python", "# main.py")
	r.write(t, filepath.Join(folder, plugindir.ManifestName), "toml", "# plugin.toml")
	r.write(t, filepath.Join(folder, "requirements.txt"), "", "# requirements.txt", "/path/to/rrhost", repo)
	run(t, folder, nil, "sh", "-e", "-c", r.block(t, "sh", "pip install --upgrade --target"))
	run(t, dir, nil, "sh", "-e", "-c", strings.ReplaceAll(r.block(t, "sh", "cp -r"), "/path/to/rrhost/plugins", plugins))
	asked(t, buildPrograms(t, "./cmd/rrhost"), filepath.Join(plugins, "price"), "price", `{"items":[1,2]}`, `{"total":3}`)
}

// asked tries one request on a plugin with rrhost's own command.
func asked(t *testing.T, bin, folder, handler, request, want string) {
	t.Helper()
	if got := run(t, bin, nil, filepath.Join(bin, "rrhost"), "plugin", "call", folder, handler, request); got != want+"\n" {
		t.Errorf("%s is answered %q, want %s", request, got, want)
	}
}

// testTypeScriptReadme makes the plugin of the README with its commands, from what
// would be published: the package's tarball and nothing else of it.
func testTypeScriptReadme(t *testing.T, p tsPackage, bin string) {
	r := readReadme(t, p.path("README.md"))
	dir := t.TempDir()
	plugins := filepath.Join(dir, "plugins")
	if err := os.Mkdir(plugins, 0o700); err != nil {
		t.Fatal(err)
	}
	tarball := strings.TrimSpace(run(t, p.dir, nil, "npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", dir))
	for name, text := range map[string]string{
		"package.json": `{"name": "mine", "private": true, "type": "module"}`,
		"both.mjs": `import * as plugin from "rrhost/plugin"; import * as client from "rrhost/client";
			console.log([plugin.handle, plugin.serve, client.connect, client.generateKey].map((f) => typeof f).join());`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, install, ok := strings.Cut(r.block(t, "sh", "npm install /path/to/rrhost/sdk/typescript esbuild"), "\n")
	if !ok {
		t.Fatal("the README does not install the package")
	}
	install = strings.ReplaceAll(install, "/path/to/rrhost/sdk/typescript", filepath.Join(dir, tarball))
	run(t, dir, []string{"npm_config_prefer_offline=true", "npm_config_audit=false"}, "sh", "-e", "-c", install)

	r.write(t, filepath.Join(dir, "calculate", "main.ts"), "ts", "// main.ts")
	r.write(t, filepath.Join(dir, "calculate", plugindir.ManifestName), "toml", "# plugin.toml")
	run(t, dir, nil, "sh", "-e", "-c", strings.ReplaceAll(r.block(t, "sh", "npx rrhost-bundle"), "/path/to/the/plugin/directory", plugins))
	asked(t, bin, filepath.Join(plugins, "calculate"), "calculate", `{"a":10,"b":5}`, `{"result":15}`)

	if got := run(t, dir, nil, "node", "both.mjs"); got != "function,function,function,function\n" {
		t.Errorf("what it exports is %q", got)
	}
	for _, name := range []string{"README.md", "LICENSE", "dist/plugin/index.d.ts", "dist/client/index.d.ts"} {
		if _, err := os.Stat(filepath.Join(dir, "node_modules", "rrhost", name)); err != nil {
			t.Errorf("what is published lacks %s", name)
		}
	}
}
