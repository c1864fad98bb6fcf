package config

import (
	"fmt"
	"slices"
)

// list is a list of texts, each under the same rule. An empty list is the
// default where that is empty too, and else a mistake.
func list[T ~string](name string, to *[]T, def []T, decode decoder[T], each rule[T]) key {
	return key{
		name: name,
		read: func(f *faults, at string, v any) {
			items, isList := v.([]any)
			if !isList {
				problem, want := show(v)+" is not a list of text", "write a list in brackets"
				if _, isSecret := any(to).(*[]Secret); isSecret {
					problem = "is " + kind(v) + ", not a list of text"
				} else if s, isText := v.(string); isText {
					want = fmt.Sprintf("write [%q]", s)
				}
				f.report(at, problem, want)
				return
			}
			if len(items) == 0 && len(def) > 0 {
				f.report(at, "is empty", "write at least one")
				return
			}
			var got []T
			for i, item := range items {
				v, problem, want := decode(item)
				if problem != "" {
					f.report(element(at, i), problem, want)
				}
				got = append(got, v)
			}
			*to = got
		},
		fill: func() {
			if len(*to) == 0 {
				*to = slices.Clone(def)
			}
		},
		check: func(f *faults, at string) {
			for i, v := range *to {
				if problem, want := each(v); problem != "" {
					f.report(element(at, i), problem, want)
				} else if first := slices.Index(*to, v); first < i {
					f.report(element(at, i), fmt.Sprintf("is the same as %s", element(at, first)), "leave one out")
				}
			}
		},
		empty: func() bool { return len(*to) == 0 },
	}
}

func texts(name string, to *[]string, def []string, each rule[string]) key {
	return list(name, to, def, func(v any) (string, string, string) {
		s, isText := v.(string)
		if !isText {
			return "", show(v) + " is not text", "write text in quotes"
		}
		return s, "", ""
	}, each)
}

func secrets(name string, to *[]Secret) key {
	return list(name, to, nil, decodeSecret, func(s Secret) (string, string) {
		if s == "" {
			return "is empty", wantSecret
		}
		return secretRef(s)
	})
}
