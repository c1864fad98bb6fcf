package config

import (
	"maps"
	"slices"
	"strings"
)

// section is a [name] table with keys of its own.
func section(name string, keys []key) key {
	return key{
		name:     name,
		children: keys,
		read: func(f *faults, at string, v any) {
			if m, ok := asTable(f, at, v); ok {
				readTable(f, at, m, keys)
			}
		},
		fill:  func() { fillAll(keys) },
		check: func(f *faults, at string) { checkAll(f, at, keys) },
		empty: func() bool { return !slices.ContainsFunc(keys, func(k key) bool { return !k.empty() }) },
	}
}

// optional is a section that means something by being there.
func optional[T any](name string, to **T, keys func(*T) []key) key {
	return key{
		name:     name,
		children: keys(new(T)),
		read: func(f *faults, at string, v any) {
			if m, ok := asTable(f, at, v); ok {
				*to = new(T)
				readTable(f, at, m, keys(*to))
			}
		},
		fill: func() {
			if *to != nil {
				c := **to // a copy: the caller's own stays as it was written
				fillAll(keys(&c))
				*to = &c
			}
		},
		check: func(f *faults, at string) {
			if *to != nil {
				checkAll(f, at, keys(*to))
			}
		},
		empty: func() bool { return *to == nil },
	}
}

// sections is a [[name]] table, any number of times.
func sections[T any](name string, to *[]T, keys func(*T) []key) key {
	return key{
		name:     name,
		many:     true,
		children: keys(new(T)),
		read: func(f *faults, at string, v any) {
			var tables []map[string]any
			switch v := v.(type) {
			case []map[string]any:
				tables = v
			case []any:
				for i, item := range v {
					m, isTable := item.(map[string]any)
					if !isTable {
						f.report(element(at, i), "is "+kind(item)+", not a table", "write [["+at+"]], and its keys below it")
					}
					tables = append(tables, m)
				}
			default:
				f.report(at, "is "+kind(v)+", not a list of tables", "write [["+at+"]]")
				return
			}
			*to = make([]T, len(tables))
			for i, m := range tables {
				readTable(f, element(at, i), m, keys(&(*to)[i]))
			}
		},
		fill: func() {
			*to = slices.Clone(*to)
			for i := range *to {
				fillAll(keys(&(*to)[i]))
			}
		},
		check: func(f *faults, at string) {
			for i := range *to {
				checkAll(f, element(at, i), keys(&(*to)[i]))
			}
		},
		empty: func() bool { return len(*to) == 0 },
	}
}

// named is [name.ITEM] tables, by the name of the item, for which ok is the rule.
func named[T any](name string, to *map[string]T, ok rule[string], keys func(*T) []key) key {
	each := func(do func(item string, t *T)) {
		for _, item := range slices.Sorted(maps.Keys(*to)) {
			t := (*to)[item]
			do(item, &t)
			(*to)[item] = t
		}
	}
	return key{
		name:     name,
		children: keys(new(T)),
		read: func(f *faults, at string, v any) {
			tables, isTable := asTable(f, at, v)
			if !isTable {
				return
			}
			*to = make(map[string]T)
			for _, item := range slices.Sorted(maps.Keys(tables)) {
				if m, isTable := asTable(f, join(at, item), tables[item]); isTable {
					var t T
					readTable(f, join(at, item), m, keys(&t))
					(*to)[item] = t
				}
			}
		},
		fill: func() {
			*to = maps.Clone(*to) // the caller's own stays as it was written
			each(func(_ string, t *T) { fillAll(keys(t)) })
		},
		check: func(f *faults, at string) {
			each(func(item string, t *T) {
				if problem, want := ok(item); problem != "" {
					f.report(join(at, item), problem, want)
				}
				checkAll(f, join(at, item), keys(t))
			})
		},
		empty: func() bool { return len(*to) == 0 },
	}
}

// anything is a table whose content is not ours.
func anything(name string, to *map[string]any) key {
	return key{
		name: name,
		read: func(f *faults, at string, v any) {
			if m, ok := asTable(f, at, v); ok {
				*to = m
			}
		},
		fill:  func() {},
		check: func(*faults, string) {},
		empty: func() bool { return len(*to) == 0 },
	}
}

func asTable(f *faults, at string, v any) (map[string]any, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		f.report(at, "is "+kind(v)+", not a table", "write ["+at+"], and its keys below it")
	}
	return m, ok
}

// readTable reads what stands in one table, in the order of the keys' names so
// that the same file gives the same faults.
func readTable(f *faults, at string, m map[string]any, keys []key) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if i := slices.IndexFunc(keys, func(k key) bool { return k.name == name }); i >= 0 {
			keys[i].read(f, join(at, name), m[name])
			continue
		}
		near, want := suggest(at, name, keys)
		f.report(join(at, name), "is not a key of "+tableTitle(at), want)
		if near == nil {
			continue
		}
		// Read it as what it is meant to be, for the mistakes inside it, and so
		// that its absence is not reported as well.
		if _, twice := m[near.name]; !twice {
			f.lines.alias(join(at, name), join(at, near.name))
			near.read(f, join(at, near.name), m[name])
		}
	}
}

func fillAll(keys []key) {
	for _, k := range keys {
		k.fill()
	}
}

func checkAll(f *faults, at string, keys []key) {
	for _, k := range keys {
		at := join(at, k.name)
		if k.required != "" && k.empty() {
			f.report(at, "is missing", k.required)
			continue
		}
		k.check(f, at)
	}
}

// title is how a file writes the section k of the table at.
func (k key) title(at string) string {
	if k.many {
		return "[[" + join(at, k.name) + "]]"
	}
	return "[" + join(at, k.name) + "]"
}

// tableTitle is how a file writes the table at a path.
func tableTitle(at string) string {
	if at == "" {
		return "the file"
	}
	if name, list := strings.CutSuffix(at, "]"); list {
		return "[[" + name[:strings.LastIndexByte(name, '[')] + "]]"
	}
	return "[" + at + "]"
}

// suggest finds what an unknown key was meant to be: the key of this section
// that it nearly is, or else what to tell its user.
func suggest(at, name string, keys []key) (near *key, want string) {
	var names []string
	for _, k := range keys {
		names = append(names, k.name)
	}
	if i := slices.Index(names, nearest(name, names)); i >= 0 {
		near = &keys[i]
		written := near.name
		if near.children != nil {
			written = near.title(at)
		}
		return near, "did you mean " + written + "?"
	}
	if homes := homesOf(plainName(name)); len(homes) > 0 {
		return nil, "it belongs in " + strings.Join(homes, " or ")
	}
	want = "known there are " + strings.Join(names, ", ")
	if strings.HasPrefix(at, "plugin.") {
		want += "; what is the plugin's own goes into [" + join(at, "config") + "]"
	}
	return nil, want
}

// nearest returns the one of names that name is but for case, dashes and a slip
// or two, fewer in a short one; empty if there is none.
func nearest(name string, names []string) string {
	best, near := 3, ""
	for _, n := range names {
		if d := distance(plainName(name), plainName(n)); d < best && d*3 <= len(n) {
			best, near = d, n
		}
	}
	return near
}

// plainName writes a name in our way: lower case, words joined by _.
func plainName(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), "-", "_")
}

// homesOf lists the sections that have a key of this name.
func homesOf(name string) []string {
	var homes []string
	var visit func(at string, keys []key)
	visit = func(at string, keys []key) {
		for _, k := range keys {
			for _, child := range k.children {
				if child.name == name {
					homes = append(homes, k.title(at))
				}
			}
			visit(join(at, k.name), k.children)
		}
	}
	visit("", new(Config).keys())
	return homes
}

// distance counts the letters to insert, remove or change from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
