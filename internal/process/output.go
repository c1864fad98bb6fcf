package process

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"
)

// Bounds of what a plugin may say in one line.
const (
	maxLine     = 64 << 10 // bytes; the rest of a longer line is dropped
	maxFields   = 32
	maxFieldKey = 64 // bytes
)

// An output brings what a plugin prints into the host's log. Everything that
// the plugin says is a value: never a format, a key of the host's, or a line of
// its own.
type output struct {
	logger hclog.Logger // has the plugin's name, version and pid
	crash  crashState
	why    string // for a failed start: the first line of text that names an error, or else the first; cut
	tail   *Tail  // nil: none is kept
}

// namesError matches the line that tells what is wrong in what Python and Node
// print when they die. What is before it is where.
var namesError = regexp.MustCompile(`^[\w.]*(Error|Exception)( \[\w+\])?: `)

// crashState follows the lines of a Go program that dies of a panic.
type crashState int

const (
	living crashState = iota
	inPanicValue
	inStack
)

// reserved are keys that the host gives itself.
var reserved = map[string]bool{"plugin": true, "version": true, "pid": true, "stream": true}

// drain logs lines until r ends. It never stops reading before: a plugin whose
// pipe is full hangs in write.
func drain(r *bufio.Reader, line func(text []byte, truncated bool)) {
	for {
		text, err := r.ReadSlice('\n')
		truncated := errors.Is(err, bufio.ErrBufferFull)
		if len(text) > 0 {
			line(bytes.TrimRight(text, "\r\n"), truncated)
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.ReadSlice('\n')
		}
		if err != nil {
			return
		}
	}
}

// stderr takes one line of stderr: a log record of hclog's form, or text.
func (o *output) stderr(text []byte, truncated bool) {
	if !truncated && len(text) > 0 && text[0] == '{' && o.record(text) {
		return
	}
	o.text("stderr", text, truncated)
}

// record logs a line that is a JSON log record, and reports whether it is one.
func (o *output) record(text []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var rec map[string]any
	if dec.Decode(&rec) != nil {
		return false
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return false
	}
	message, ok := rec["@message"].(string)
	if !ok {
		return false
	}
	name, _ := rec["@level"].(string)
	level := hclog.LevelFromString(name)
	if level == hclog.NoLevel || level == hclog.Off {
		level = hclog.Info
	}
	if level < o.logger.GetLevel() {
		return true
	}
	keys := make([]string, 0, len(rec))
	for k := range rec {
		if !strings.HasPrefix(k, "@") {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	if len(keys) > maxFields {
		keys = keys[:maxFields]
	}
	fields := make([]any, 0, 2*len(keys))
	for _, k := range keys {
		fields = append(fields, fieldKey(k), fieldValue(rec[k]))
	}
	message = printable(message)
	o.tail.add(message)
	o.logger.Log(level, message, fields...)
	return true
}

// fieldKey keeps of a key what all log formats can hold.
func fieldKey(k string) string {
	k = strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_.-", r)) {
			return r
		}
		return '_'
	}, k)
	if len(k) > maxFieldKey {
		k = k[:maxFieldKey]
	}
	if k == "" || reserved[k] {
		return "plugin_" + k
	}
	return k
}

// fieldValue turns decoded JSON into something that a log shows as one value, on
// the record's line.
func fieldValue(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		return v.String()
	case string:
		return printable(v)
	case bool, nil:
		return v
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return printable(string(text))
}

// text logs a line that is no record. A Go program that dies prints what it
// panicked with, which may be a payload: the value and the arguments of the
// stack's functions are left out.
func (o *output) text(stream string, text []byte, truncated bool) {
	if len(text) == 0 {
		return
	}
	line := string(text)
	level := hclog.Info
	switch {
	case stream != "stderr":
	case strings.HasPrefix(line, "fatal error: "):
		o.crash, level = inStack, hclog.Error
	case strings.HasPrefix(line, "panic: runtime error: "), strings.HasPrefix(line, "[signal "):
		o.crash, level = inPanicValue, hclog.Error
	case strings.HasPrefix(line, "panic: "):
		o.crash, level, line = inPanicValue, hclog.Error, "panic: (its value is not logged)"
	case o.crash == inPanicValue && strings.HasPrefix(line, "goroutine "):
		o.crash, level = inStack, hclog.Error
	case o.crash == inPanicValue:
		return
	case o.crash == inStack:
		level = hclog.Error
		if !strings.HasPrefix(line, "\t") {
			line = withoutArguments(line)
		}
	}
	line = printable(line)
	if names := namesError.MatchString(line); o.why == "" || names && !namesError.MatchString(o.why) {
		o.why = line
		if len(o.why) > 200 {
			o.why = o.why[:200] + "…"
		}
	}
	o.tail.add(line)
	fields := []any{"stream", stream}
	if truncated {
		fields = append(fields, "truncated", true)
	}
	o.logger.Log(level, line, fields...)
}

// withoutArguments cuts main.f(0x1, 0x2) to main.f(…).
func withoutArguments(line string) string {
	if strings.HasSuffix(line, ")") {
		if i := strings.LastIndexByte(line, '('); i > 0 {
			return line[:i] + "(…)"
		}
	}
	return line
}

// A said is an error that holds words of a plugin's: they are shown as what
// prints, and no more of them than somebody reads.
type said struct{ error }

func (e said) Error() string {
	const enough = 4 << 10 // bytes
	text := e.error.Error()
	if len(text) > enough {
		text = text[:enough] + "…"
	}
	return printable(text)
}

func (e said) Unwrap() error { return e.error }

// printable makes a plugin's text one line of what prints: no line breaks that
// would begin a forged line, no terminal's control sequences.
func printable(s string) string {
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || r != '\t' && !unicode.IsPrint(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\t' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}
