// Package scaffold writes the beginning of a plugin: a folder with a handler, its
// tests and the SDK, which builds and runs as it is.
package scaffold

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"rrhost"
)

//go:embed all:templates
var templates embed.FS

// A Language is one that plugins can be begun in.
type Language struct {
	// Name is what users call it, Title what it is called in a sentence.
	Name, Title string
	// Next are the commands, in the folder of a plugin, that test and build it, and
	// Updated the one to run after [Update].
	Next    func(name string) []string
	Updated string

	mark     string   // the file that the SDK of no other language has
	reserved []string // names that a plugin in it cannot have
	// sdk returns the SDK's files by their paths in the plugin's folder, and what
	// the templates are to know of it.
	sdk func() (files map[string][]byte, about any, err error)
}

// Languages are all that there are; the first is the default.
var Languages = []Language{golang, typescript, python}

// LanguageNamed finds a language by its name.
func LanguageNamed(name string) (Language, error) {
	var names []string
	for _, l := range Languages {
		if l.Name == name {
			return l, nil
		}
		names = append(names, l.Name)
	}
	return Language{}, fmt.Errorf("there is no language %q: it is one of %s", name, strings.Join(names, ", "))
}

// A Plugin is what [New] wrote.
type Plugin struct {
	Name     string // also the handler's, and the topic's
	Folder   string
	Language Language
	// Request is JSON that its handler takes, and Response what comes of it.
	Request, Response string
}

// nameRule is what is good for a folder, a program, a topic and a package of any
// language alike.
var nameRule = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

// CheckName says what is wrong with a plugin's name.
func (l Language) CheckName(name string) error {
	if !nameRule.MatchString(name) {
		return fmt.Errorf("%q cannot be the name of a new plugin: use up to 64 of a-z, 0-9, - and _, beginning with a letter", name)
	}
	if slices.Contains(l.reserved, name) {
		return fmt.Errorf("%q cannot be the name of a plugin in %s, where it means something else", name, l.Title)
	}
	return nil
}

// New makes the folder of a new plugin, which is named like it. The folder's
// parent must be there, and the folder must not: an error that is
// [fs.ErrExist] says that it is. After any error, nothing is left of it.
func New(folder string, l Language) (_ Plugin, err error) {
	abs, err := filepath.Abs(folder)
	if err != nil {
		return Plugin{}, fmt.Errorf("new plugin: %w", err)
	}
	p := Plugin{
		Name: filepath.Base(abs), Folder: folder, Language: l,
		Request: `{"name":"Ada"}`, Response: `{"greeting":"Hello, Ada!"}`,
	}
	if err := l.CheckName(p.Name); err != nil {
		return Plugin{}, err
	}
	if _, err := os.Lstat(abs); err == nil {
		return Plugin{}, fmt.Errorf("%s: %w", folder, fs.ErrExist)
	}
	files, err := p.files()
	if err != nil {
		return Plugin{}, fmt.Errorf("new plugin: %w", err)
	}
	// A host may be looking at the folder above: all of it appears at once.
	tmp, err := os.MkdirTemp(filepath.Dir(abs), "."+p.Name+"-")
	if err != nil {
		return Plugin{}, fmt.Errorf("new plugin: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	made := filepath.Join(tmp, p.Name)
	if err := write(made, files); err != nil {
		return Plugin{}, fmt.Errorf("new plugin: %w", err)
	}
	if err := os.Rename(made, abs); err != nil {
		return Plugin{}, fmt.Errorf("new plugin: %w", err)
	}
	return p, nil
}

// sdkFolder is where a plugin has its copy of the SDK.
const sdkFolder = "rrhost-sdk"

// Update puts this program's SDK into the place of the one in a plugin's folder,
// which [New] has made, and tells its language. Nothing else is changed.
func Update(folder string) (_ Language, err error) {
	abs, err := filepath.Abs(folder)
	if err != nil {
		return Language{}, fmt.Errorf("update the SDK: %w", err)
	}
	have := filepath.Join(abs, sdkFolder)
	at := slices.IndexFunc(Languages, func(l Language) bool {
		_, err := os.Stat(filepath.Join(have, l.mark))
		return err == nil
	})
	if at < 0 {
		return Language{}, fmt.Errorf("%s has no SDK that could be updated: there is no %s in it: %w", folder, sdkFolder, fs.ErrNotExist)
	}
	files, err := Plugin{Name: filepath.Base(abs), Language: Languages[at]}.files()
	if err != nil {
		return Language{}, fmt.Errorf("update the SDK: %w", err)
	}
	for name := range files {
		if !strings.HasPrefix(name, sdkFolder+"/") {
			delete(files, name)
		}
	}
	tmp, err := os.MkdirTemp(abs, "."+sdkFolder+"-")
	if err != nil {
		return Language{}, fmt.Errorf("update the SDK: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := write(tmp, files); err != nil {
		return Language{}, fmt.Errorf("update the SDK: %w", err)
	}
	old := filepath.Join(tmp, "old")
	if err := os.Rename(have, old); err != nil {
		return Language{}, fmt.Errorf("update the SDK: %w", err)
	}
	if err := os.Rename(filepath.Join(tmp, sdkFolder), have); err != nil {
		return Language{}, fmt.Errorf("update the SDK: %w", errors.Join(err, os.Rename(old, have)))
	}
	return Languages[at], nil
}

// files are all of a plugin's, by their paths in its folder: the SDK's, and those
// that the language's templates make.
func (p Plugin) files() (map[string][]byte, error) {
	files, about, err := p.Language.sdk()
	if err != nil {
		return nil, err
	}
	data := struct {
		Plugin
		SDK any
	}{p, about}
	root := path.Join("templates", p.Language.Name)
	err = fs.WalkDir(templates, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		t, err := template.ParseFS(templates, name)
		if err != nil {
			return err
		}
		var text strings.Builder
		if err := t.Execute(&text, data); err != nil {
			return err
		}
		name = strings.TrimSuffix(strings.TrimPrefix(name, root+"/"), ".tmpl")
		files[name] = []byte(text.String())
		return nil
	})
	return files, err
}

// tree is all that is embedded of a folder of the repository, as the SDK.
func tree(root string) (map[string][]byte, error) {
	files := make(map[string][]byte)
	err := fs.WalkDir(rrhost.SDK, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := rrhost.SDK.ReadFile(name)
		files[sdkFolder+strings.TrimPrefix(name, root)] = text
		return err
	})
	return files, err
}

// write makes a folder with files, whose names are paths in it.
func write(folder string, files map[string][]byte) error {
	for name, text := range files {
		file := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
