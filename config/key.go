package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// A key is one line of the schema: a key of config.toml, bound to its field.
type key struct {
	name     string
	required string // what to write where it must not be missing
	children []key  // of a section: its keys, on a sample; for suggestions and tests
	many     bool   // of a section: [[name]]

	// read takes the key's decoded TOML value, or reports why it can't.
	read func(f *faults, at string, v any)
	// fill sets a field that is zero to its default.
	fill func()
	// check reports what is wrong with a filled field.
	check func(f *faults, at string)
	// empty tells whether the field is zero.
	empty func() bool
}

// A rule tells what is wrong with a value, and what would be right. An empty
// problem means that nothing is.
type rule[T any] func(v T) (problem, want string)

// decoder turns a decoded TOML value into a field's type.
type decoder[T any] func(v any) (got T, problem, want string)

// scalar is a key with a single value. Zero means the default def; where the
// default is zero too, zero needs no rule. In a file, a zero that is written
// down and breaks the rule is a mistake, not the default.
func scalar[T any](name string, to *T, def T, decode decoder[T], ok rule[T]) key {
	zero := func(v T) bool { return reflect.ValueOf(&v).Elem().IsZero() }
	return key{
		name: name,
		read: func(f *faults, at string, v any) {
			got, problem, want := decode(v)
			if problem == "" && zero(got) && !zero(def) && ok != nil {
				problem, want = ok(got)
			}
			if problem != "" {
				f.report(at, problem, want)
				return
			}
			*to = got
		},
		fill: func() {
			if zero(*to) {
				*to = def
			}
		},
		check: func(f *faults, at string) {
			if zero(*to) || ok == nil {
				return
			}
			if problem, want := ok(*to); problem != "" {
				f.report(at, problem, want)
			}
		},
		empty: func() bool { return zero(*to) },
	}
}

func text(name string, to *string, def string, ok rule[string]) key {
	return scalar(name, to, def, func(v any) (string, string, string) {
		s, isText := v.(string)
		if !isText {
			return "", show(v) + " is not text", "write text in quotes" + such(def)
		}
		return s, "", ""
	}, ok)
}

// secret never shows the value, not even one of a wrong type.
func secret(name string, to *Secret) key {
	return scalar(name, to, "", decodeSecret, secretRef)
}

func decodeSecret(v any) (Secret, string, string) {
	s, isText := v.(string)
	if !isText {
		return "", "is " + kind(v) + ", not text", wantSecret
	}
	return Secret(s), "", ""
}

// flag is a key that is true or false; its field is nil for the default.
func flag(name string, to **bool, def bool) key {
	return scalar(name, to, &def, func(v any) (*bool, string, string) {
		b, isBool := v.(bool)
		if !isBool {
			want := "write true or false"
			if s := fmt.Sprint(v); s == "true" || s == "false" {
				want = "write " + s + " without quotes"
			}
			return nil, show(v) + " is neither true nor false", want
		}
		return &b, "", ""
	}, nil)
}

func number[T ~int | ~int16 | ~int32](name string, to *T, def T, low, high T) key {
	in := between(int64(low), int64(high), "number", func(n int64) string { return strconv.FormatInt(n, 10) })
	return scalar(name, to, def, func(v any) (T, string, string) {
		n, isInt := v.(int64)
		if !isInt {
			want := fmt.Sprintf("write a whole number from %d to %d", low, high)
			if s, isText := v.(string); isText {
				if _, err := strconv.ParseInt(s, 10, 64); err == nil {
					want = "write " + s + " without quotes"
				}
			}
			return 0, show(v) + " is not a whole number", want
		}
		problem, want := in(n) // before n is narrowed
		if n == 0 {
			problem, want = "", "" // a zero is scalar's to judge
		}
		return T(n), problem, want
	}, func(n T) (string, string) { return in(int64(n)) })
}

func duration(name string, to *time.Duration, def, low, high time.Duration) key {
	example := short(def)
	if def == 0 {
		example = short(low)
	}
	// seconds is what a bare number most likely means, where that would be right.
	seconds := func(n float64) string {
		if n >= low.Seconds() && n <= high.Seconds() {
			return fmt.Sprintf("write %q", strconv.FormatFloat(n, 'f', -1, 64)+"s")
		}
		return fmt.Sprintf("write it with a unit, as in %q", example)
	}
	return scalar(name, to, def, func(v any) (time.Duration, string, string) {
		switch v := v.(type) {
		case string:
			d, err := time.ParseDuration(v)
			if err == nil {
				return d, "", ""
			}
			if days, err := strconv.ParseUint(strings.TrimSuffix(v, "d"), 10, 16); err == nil && strings.HasSuffix(v, "d") {
				return 0, show(v) + " is in days", fmt.Sprintf(`write hours: "%dh"`, days*24)
			}
			if n, err := strconv.ParseInt(v, 10, 64); err == nil {
				return 0, show(v) + " has no unit", seconds(float64(n))
			}
			return 0, show(v) + " is not a duration", fmt.Sprintf("write a number and ms, s, m or h, as in %q", example)
		case int64:
			return 0, show(v) + " is a bare number", seconds(float64(v))
		case float64:
			return 0, show(v) + " is a bare number", seconds(v)
		}
		return 0, show(v) + " is not a duration", fmt.Sprintf("write it in quotes, as in %q", example)
	}, between(low, high, "duration", func(d time.Duration) string { return strconv.Quote(short(d)) }))
}

// size is a number of bytes: a whole number, or text such as "64MiB".
func size[T ~int | ~int64](name string, to *T, def, low T) key {
	in := between(int64(low), math.MaxInt64>>10, "size", formatSize)
	return scalar(name, to, def, func(v any) (T, string, string) {
		switch v := v.(type) {
		case int64:
			if v < 0 {
				problem, want := in(v)
				return 0, problem, want
			}
			return T(v), "", ""
		case string:
			n, want := parseSize(v)
			if want == "" {
				return T(n), "", ""
			}
			return 0, show(v) + " is not a size", want
		}
		return 0, show(v) + " is not a size", wantSize
	}, func(n T) (string, string) { return in(int64(n)) })
}

// required marks a key that has no default; want tells what to write.
func required(k key, want string) key {
	read := k.read
	k.required = want
	k.read = func(f *faults, at string, v any) {
		read(f, at, v)
		if k.empty() {
			f.report(at, "is empty", want) // a no-op where read has reported more
		}
	}
	return k
}
