package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"rrhost/internal/scaffold"
)

// A subject is a plugin that is edited.
type subject struct {
	title   string
	dir     string // the plugin directory that it is in
	topic   string // also its folder's name
	request json.RawMessage
	source  string // the file that is edited
	// word is what is edited there, the nth time into edit(n), and answer(n) is
	// what an answer then has in it.
	word         string
	edit, answer func(n int) string
}

// scaffolded begins a plugin in dir as `rrhost plugin init` does.
func scaffolded(dir string, l scaffold.Language) (subject, error) {
	s := subject{
		title: l.Title, dir: filepath.Join(dir, "plugins"), topic: "greet", request: json.RawMessage(`{"name":"Ada"}`), word: "Hello",
		edit:   func(n int) string { return fmt.Sprintf("Hello%d", n) },
		answer: func(n int) string { return fmt.Sprintf(`"Hello%d,`, n) },
	}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return s, err
	}
	plugin, err := scaffold.New(filepath.Join(s.dir, s.topic), l)
	if err != nil {
		return s, err
	}
	s.source, err = find(plugin.Folder, s.word)
	return s, err
}

// An example is a plugin of the repository that adds two numbers.
type example struct {
	tree    string // what is copied of the repository
	plugins string // the folder in it that has the plugin
	source  string
	ready   string // makes it ready, in its folder; $ROOT is the repository
	build   string // in its manifest: how it is built again
}

var examples = map[string]example{
	"go": {
		tree: "plugins", plugins: ".", source: "main.go",
		ready: `cp "$ROOT/go.mod" "$ROOT/go.sum" . && go mod edit -module calculate -require rrhost@v0.0.0 -replace "rrhost=$ROOT"`,
	},
	"ts": {
		tree: "sdk/typescript", plugins: "examples", source: "main.ts",
		ready: "cd ../.. && npm ci --silent && npm run --silent build",
		build: `build = ["node", "../../bin/bundle.mjs", "main.ts"]`,
	},
	"python": {
		tree: "sdk/python", plugins: "examples", source: "main.py",
		ready: "SOURCE_DATE_EPOCH=0 python3 -m pip install --quiet --upgrade --target vendor -r requirements.txt",
	},
}

// shipped copies the example in l to dir, where it can be edited, and makes it ready.
func shipped(ctx context.Context, dir string, l scaffold.Language) (subject, error) {
	e := examples[l.Name]
	tree := filepath.Join(dir, "tree")
	s := subject{
		title: "the example in " + l.Title, dir: filepath.Join(tree, e.plugins), topic: "calculate", request: json.RawMessage(`{"a":1,"b":2}`),
		word:   "a + b",
		edit:   func(n int) string { return fmt.Sprintf("a + b + %d", 10*n) },
		answer: func(n int) string { return fmt.Sprintf(`"result":%d}`, 3+10*n) },
	}
	folder := filepath.Join(s.dir, s.topic)
	s.source = filepath.Join(folder, e.source)
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "rrhost").Output()
	if err != nil {
		return s, fmt.Errorf("find the repository: %w", err)
	}
	repository := strings.TrimSpace(string(root))
	if err := os.CopyFS(tree, os.DirFS(filepath.Join(repository, e.tree))); err != nil {
		return s, err
	}
	if e.build != "" {
		manifest := filepath.Join(folder, "plugin.toml")
		text, err := os.ReadFile(manifest)
		if err != nil {
			return s, err
		}
		if err := os.WriteFile(manifest, append(text, e.build+"\n"...), 0o644); err != nil {
			return s, err
		}
	}
	ready := exec.CommandContext(ctx, "sh", "-c", e.ready)
	ready.Dir, ready.Env = folder, append(os.Environ(), "ROOT="+repository)
	if text, err := ready.CombinedOutput(); err != nil {
		return s, fmt.Errorf("%s: %w\n%s", e.ready, err, text)
	}
	return s, nil
}

// find returns the file of the plugin that has the word, and is no test.
func find(folder, word string) (string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		file := filepath.Join(folder, e.Name())
		if e.IsDir() || strings.Contains(e.Name(), "test") || strings.HasSuffix(e.Name(), ".md") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		if strings.Contains(string(text), word) {
			return file, nil
		}
	}
	return "", fmt.Errorf("no source in %s has the word %s", folder, word)
}
