package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shippedFile returns the project's config.toml, cut where production begins.
func shippedFile(t *testing.T) (main, production string) {
	t.Helper()
	text, err := os.ReadFile("../config.toml")
	if err != nil {
		t.Fatal(err)
	}
	main, production, ok := strings.Cut(string(text), "\n# ---- Production")
	if !ok {
		t.Fatal("config.toml has no part for production")
	}
	return main, "#" + production
}

var commentedKey = regexp.MustCompile(`(?m)^#([\[a-z])`)

// uncommented takes the # away from every key and section; prose has a space
// after it.
func uncommented(text string) string {
	return commentedKey.ReplaceAllString(text, "$1")
}

// The shipped file, and the same with every commented default written down, are
// the defaults with two topics and the trust of a developer's machine.
func TestShippedFile(t *testing.T) {
	want := Config{
		Topics: []Topic{{Name: "calculate"}, {Name: "echo"}}, Plugins: Plugins{Trust: "dev"}, Dir: "..",
	}.WithDefaults()
	main, production := shippedFile(t)
	for name, text := range map[string]string{
		"as it is":    main + "\n" + production,
		"uncommented": uncommented(main),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse("../config.toml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			// Written-down empty lists are the same as none.
			got.Encryption.Open, got.Plugins.Env, got.Audit.Cassandra.Hosts = nil, nil, nil
			got.source = nil
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// The three sections for production, in place of those above, are valid.
func TestShippedProduction(t *testing.T) {
	main, production := shippedFile(t)
	for _, name := range []string{"kafka", "encryption", "audit"} {
		section := regexp.MustCompile(`(?ms)^\[` + name + `\].*?\n(\[|# One|# What)`)
		if !section.MatchString(main) {
			t.Fatalf("config.toml has no [%s]", name)
		}
		main = section.ReplaceAllString(main, "$1")
	}
	c, err := Parse("config.toml", []byte(main+"\n"+uncommented(production)))
	if err != nil {
		t.Fatal(err)
	}
	if c.IsEmbedded() || c.Kafka.TLS == nil || c.Kafka.SASL == nil || c.Audit.Store != "cassandra" || c.Audit.Cassandra.TLS == nil {
		t.Errorf("production = %+v", c)
	}
	if w := c.Warnings(); len(w) > 0 {
		t.Errorf("production has warnings: %v", w)
	}
}

// The shipped file shows every key of the schema.
func TestShippedFileIsComplete(t *testing.T) {
	main, production := shippedFile(t)
	shown := map[string]bool{}
	for _, text := range []string{uncommented(main), uncommented(production)} {
		l, fault := readLines([]byte(text))
		if fault != nil {
			t.Fatal(fault)
		}
		for path := range l.at {
			shown[regexp.MustCompile(`\[\d+\]`).ReplaceAllString(path, "")] = true
		}
	}
	// Of a plugin there is a sample, in prose: with its # away it would be one.
	sampled := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#   (?:(\w+) +=|\[plugin\.tax\.(\w+)\])`).FindAllStringSubmatch(main, -1) {
		sampled[m[1]+m[2]] = true
	}
	var missing []string
	var visit func(at string, keys []key)
	visit = func(at string, keys []key) {
		for _, k := range keys {
			if path := join(at, k.name); k.children != nil {
				visit(path, k.children)
			} else if !shown[path] && !(at == "plugin" && sampled[k.name]) {
				missing = append(missing, path)
			}
		}
	}
	visit("", new(Config).keys())
	if len(missing) > 0 {
		t.Errorf("config.toml does not show %v", missing)
	}
	if !strings.Contains(main, "[plugin.") {
		t.Error("config.toml does not show a plugin's section")
	}
}

// Every field of Config is filled by a key: a section that the schema forgets
// would be read by nobody.
func TestSchemaIsComplete(t *testing.T) {
	// Names as in the file: ClientID → clientid; a schema key is client_id.
	var fields func(t reflect.Type) []string
	fields = func(t reflect.Type) []string {
		var names []string
		for i := range t.NumField() {
			f := t.Field(i)
			if !f.IsExported() {
				continue
			}
			names = append(names, strings.ToLower(f.Name))
			ft := f.Type
			for ft.Kind() == reflect.Pointer || ft.Kind() == reflect.Slice || ft.Kind() == reflect.Map {
				ft = ft.Elem()
			}
			if ft.Kind() == reflect.Struct {
				names = append(names, fields(ft)...)
			}
		}
		return names
	}
	var keys func(ks []key) []string
	keys = func(ks []key) []string {
		var names []string
		for _, k := range ks {
			name := strings.ReplaceAll(k.name, "_", "")
			if k.many {
				name += "s" // [[topic]] is the field Topics
			}
			names = append(names, name)
			names = append(names, keys(k.children)...)
		}
		return names
	}
	got := keys(new(Config).keys())
	want := slices.DeleteFunc(fields(reflect.TypeFor[Config]()), func(n string) bool { return n == "dir" })
	got = slices.DeleteFunc(got, func(n string) bool { return n == "dir" })
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("schema %v\nfields %v", got, want)
	}
}
