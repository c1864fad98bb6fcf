package handler_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"rrhost/internal/handler"
)

type in struct {
	Name  string   `json:"name"`
	Count int8     `json:"count,omitempty"`
	Tags  []string `json:"tags,omitempty"`
	Inner struct {
		Flag bool `json:"flag"`
	} `json:"inner"`
	Own picky `json:"own"`
}

// picky quotes what it was given, as careless code does.
type picky struct{}

func (*picky) UnmarshalJSON(b []byte) error {
	if string(b) == `"ok"` {
		return nil
	}
	return fmt.Errorf("cannot use %s", b)
}

func (picky) MarshalJSON() ([]byte, error) { return []byte(`"ok"`), nil }

type out struct {
	Text string `json:"text"`
}

func run(t *testing.T, h handler.Handler, payload string) handler.Result {
	t.Helper()
	return h.Run(t.Context(), handler.Info{RequestID: "id-1", Topic: "topic"}, nil, []byte(payload), 1000)
}

func TestPayloadsThatFit(t *testing.T) {
	h := handler.New("h", func(_ context.Context, v in) (out, error) {
		return out{fmt.Sprint(v.Name, v.Count, v.Tags, v.Inner.Flag)}, nil
	})
	for payload, want := range map[string]string{
		`{}`:                                   "0 [] false",
		` {"name":"x","count":-3} `:            "x-3 [] false",
		`{"name":"x","unknown":{"a":[1]}}`:     "x0 [] false",
		`{"tags":["a"],"inner":{"flag":true}}`: "0 [a] true",
		`{"own":"ok"}`:                         "0 [] false",
		"\t{\"name\":\"\\u00e4\"}\n":           "ä0 [] false",
	} {
		res := run(t, h, payload)
		if res.Err != nil {
			t.Errorf("%s: %v", payload, res.Err)
			continue
		}
		if got := string(res.Payload); got != fmt.Sprintf(`{"text":%q}`, want) {
			t.Errorf("%s: %s, want text %q", payload, got, want)
		}
	}
}

func TestPayloadsThatDoNotFit(t *testing.T) {
	h := handler.New("h", func(context.Context, in) (out, error) {
		t.Error("the handler was called")
		return out{}, nil
	})
	const secret = "s3cr3t"
	for payload, want := range map[string]string{
		``:                                    "empty",
		` `:                                   "empty",
		`null`:                                "null",
		secret:                                "not JSON",
		`{"name":"` + secret:                  "not JSON",
		`{} ` + secret:                        "not JSON",
		`"` + secret + `"`:                    "JSON string, and an object is wanted",
		`["` + secret + `"]`:                  "JSON array",
		`{"name":7312}`:                       `field "name" is a JSON number, and a string is wanted`,
		`{"count":"` + secret + `"}`:          `field "count" is a JSON string, and a whole number that fits int8 is wanted`,
		`{"count":7312}`:                      `field "count" is a JSON number`,
		`{"count":1.7312}`:                    `field "count" is a JSON number`,
		`{"inner":{"flag":"` + secret + `"}}`: `field "inner.flag" is a JSON string, and a boolean is wanted`,
		`{"tags":"` + secret + `"}`:           `and an array is wanted`,
		`{"own":"` + secret + `"}`:            "not what the handler takes",
	} {
		res := run(t, h, payload)
		if res.Err == nil || res.Err.Status != handler.StatusInvalidPayload || res.Payload != nil {
			t.Errorf("%s: %v, %v; want %s", payload, res.Payload, res.Err, handler.StatusInvalidPayload)
			continue
		}
		if !strings.Contains(res.Err.Message, want) {
			t.Errorf("%s: %q, want %q in it", payload, res.Err.Message, want)
		}
		if strings.Contains(res.Err.Error(), secret) || strings.Contains(res.Err.Error(), "7312") {
			t.Errorf("%s: the error quotes the payload: %v", payload, res.Err)
		}
	}
}

func TestNullWhereItIsAValue(t *testing.T) {
	for _, h := range []handler.Handler{
		handler.New("p", func(_ context.Context, v *in) (bool, error) { return v == nil, nil }),
		handler.New("m", func(_ context.Context, v map[string]int) (bool, error) { return v == nil, nil }),
		handler.New("a", func(_ context.Context, v any) (bool, error) { return v == nil, nil }),
		handler.New("r", func(_ context.Context, v json.RawMessage) (bool, error) { return string(v) == "null", nil }),
	} {
		if res := run(t, h, "null"); res.Err != nil || string(res.Payload) != "true" {
			t.Errorf("%s: %s, %v", h.Name(), res.Payload, res.Err)
		}
	}
}

type badError struct{}

func (*badError) Error() string { panic("an Error method that panics") }

type badResult struct{}

func (badResult) MarshalJSON() ([]byte, error) { panic("a MarshalJSON method that panics") }

func TestErrors(t *testing.T) {
	fails := func(err error) func(context.Context, any) (any, error) {
		return func(context.Context, any) (any, error) { return "ignored", err }
	}
	user := &handler.UserError{Code: "no_such_account", Message: "there is none", Details: map[string]int{"id": 7}}
	tests := []struct {
		name    string
		fn      func(context.Context, any) (any, error)
		want    handler.Error
		details string
	}{
		{"plain", fails(errors.New("broken")), handler.Error{Status: "handler_error", Code: "error", Message: "broken"}, ""},
		{"typed", fails(user), handler.Error{Status: "handler_error", Code: "no_such_account", Message: "there is none"}, `{"id":7}`},
		{"typed, wrapped", fails(fmt.Errorf("while: %w", user)), handler.Error{Status: "handler_error", Code: "no_such_account", Message: "there is none"}, `{"id":7}`},
		{"without a code", fails(&handler.UserError{Message: "m"}), handler.Error{Status: "handler_error", Code: "error", Message: "m"}, ""},
		{"details without JSON", fails(&handler.UserError{Code: "c", Details: make(chan int)}), handler.Error{Status: "handler_error", Code: "c"}, `"the details have no JSON form"`},
		{"details too large", fails(&handler.UserError{Code: "c", Details: strings.Repeat("x", 2000)}), handler.Error{Status: "reply_too_large", Code: "reply_too_large", Message: "the reply has 2003 bytes, and 1000 are allowed"}, ""},
		{"nil of the type", fails((*handler.UserError)(nil)), handler.Error{Status: "handler_error", Code: "panic", Message: "the handler panicked"}, ""},
		{"somebody else's deadline", fails(context.DeadlineExceeded), handler.Error{Status: "handler_error", Code: "error", Message: "context deadline exceeded"}, ""},
		{"error that panics", fails(&badError{}), handler.Error{Status: "handler_error", Code: "panic", Message: "the handler panicked"}, ""},
		{"result that panics", func(context.Context, any) (any, error) { return badResult{}, nil }, handler.Error{Status: "handler_error", Code: "panic", Message: "the handler panicked"}, ""},
		{"result without JSON", func(context.Context, any) (any, error) { return math.NaN(), nil }, handler.Error{Status: "handler_error", Code: "invalid_result", Message: "the result has no JSON form: json: unsupported value: NaN"}, ""},
		{"result too large", func(context.Context, any) (any, error) { return strings.Repeat("x", 999), nil }, handler.Error{Status: "reply_too_large", Code: "reply_too_large", Message: "the reply has 1001 bytes, and 1000 are allowed"}, ""},
		{"not UTF-8", fails(errors.New("a\xffb")), handler.Error{Status: "handler_error", Code: "error", Message: "a\uFFFDb"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := run(t, handler.New("h", tt.fn), "1")
			if res.Err == nil || res.Payload != nil {
				t.Fatalf("got %q, %v", res.Payload, res.Err)
			}
			got := *res.Err
			if string(got.Details) != tt.details {
				t.Errorf("details %s, want %s", got.Details, tt.details)
			}
			got.Details, got.Stack = nil, ""
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestLongMessageIsCut(t *testing.T) {
	h := handler.New("h", func(context.Context, any) (any, error) { return nil, errors.New(strings.Repeat("ä", 10_000)) })
	res := h.Run(t.Context(), handler.Info{}, nil, []byte("1"), 0)
	if m := res.Err.Message; len(m) > 8<<10 || len(m) < 8000 || strings.Trim(m, "ä") != "" {
		t.Errorf("message has %d bytes and ends in %q", len(m), m[len(m)-4:])
	}
}

func TestDeadline(t *testing.T) {
	h := handler.New("h", func(ctx context.Context, _ any) (any, error) {
		<-ctx.Done()
		return nil, fmt.Errorf("query: %w", ctx.Err())
	})
	timedOut, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	cancelled, cancel2 := context.WithCancel(t.Context())
	cancel2()
	for _, ctx := range []context.Context{timedOut, cancelled} {
		if res := h.Run(ctx, handler.Info{}, nil, []byte("1"), 0); res.Err == nil || res.Err.Status != handler.StatusDeadlineExceeded {
			t.Errorf("%v: got %v", ctx.Err(), res.Err)
		}
	}
}

func TestPanicLogsTheStackWithoutTheValue(t *testing.T) {
	const canary = "canary-4711"
	var log bytes.Buffer
	logger := hclog.New(&hclog.LoggerOptions{Output: &log, JSONFormat: true})
	h := handler.New("boom", func(_ context.Context, v string) (any, error) { return explode(v), nil })
	res := h.Run(t.Context(), handler.Info{RequestID: "id-1", Topic: "topic"}, logger, []byte(`"`+canary+`"`), 0)
	if res.Err == nil || res.Err.Code != handler.CodePanic {
		t.Fatalf("got %v", res.Err)
	}
	if !strings.Contains(res.Err.Stack, "handler_test.explode") || !strings.Contains(res.Err.Stack, "handler_test.go:") {
		t.Errorf("stack:\n%s", res.Err.Stack)
	}
	if strings.Contains(res.Err.Error()+res.Err.Stack+log.String(), canary) {
		t.Error("the panic's value is in the error or the log")
	}
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("log %s: %v", log.String(), err)
	}
	for key, want := range map[string]string{"request_id": "id-1", "topic": "topic", "handler": "boom", "@level": "error", "stack": res.Err.Stack} {
		if line[key] != want {
			t.Errorf("log: %s = %v, want %q", key, line[key], want)
		}
	}
}

func explode(v string) string {
	if v != "" {
		panic("value: " + v)
	}
	return v
}

func TestContextCarriesTheRequest(t *testing.T) {
	want := handler.Info{RequestID: "id", Topic: "t", Handler: "h", Attempt: 2, Redelivered: true, Traceparent: "a", Tracestate: "b"}
	h := handler.NewRaw("h", func(ctx context.Context, payload []byte) ([]byte, error) {
		if got, ok := handler.InfoFrom(ctx); !ok || got != want {
			t.Errorf("InfoFrom = %+v, %v", got, ok)
		}
		return payload, nil
	})
	info := want
	info.Handler = ""
	if res := h.Run(t.Context(), info, nil, []byte("not JSON"), 0); string(res.Payload) != "not JSON" {
		t.Errorf("got %q, %v", res.Payload, res.Err)
	}
	if _, ok := handler.InfoFrom(t.Context()); ok {
		t.Error("InfoFrom knows a request where there is none")
	}
	handler.LoggerFrom(t.Context()).Info("goes nowhere")
}

func TestRawNilIsAnEmptyPayload(t *testing.T) {
	h := handler.NewRaw("h", func(context.Context, []byte) ([]byte, error) { return nil, nil })
	if res := h.Run(t.Context(), handler.Info{}, nil, nil, 0); res.Payload == nil || res.Err != nil {
		t.Errorf("got %v, %v", res.Payload, res.Err)
	}
}

func TestSchemas(t *testing.T) {
	h := handler.New("h", func(context.Context, struct {
		A float64 `json:"a" jsonschema:"the first"`
		B []struct {
			C string `json:"c"`
		} `json:"b"`
	}) (out, error) {
		return out{}, nil
	})
	if want := `{"type":"object","properties":{"a":{"type":"number","description":"the first"},"b":{"type":["null","array"],"items":{"type":"object","properties":{"c":{"type":"string"}}}}}}`; string(h.RequestSchema()) != want {
		t.Errorf("request schema\n%s\n%s", h.RequestSchema(), want)
	}
	if want := `{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}`; string(h.ResponseSchema()) != want {
		t.Errorf("response schema\n%s\n%s", h.ResponseSchema(), want)
	}
	type cyclic struct{ Next *cyclic }
	if s := handler.New("h", func(context.Context, cyclic) (int, error) { return 0, nil }).RequestSchema(); s != nil {
		t.Errorf("a type that holds itself has schema %s", s)
	}
}

type tagged[T any] struct {
	Name string `json:"name" jsonschema:"the order's number, from a=1"`
	List []T    `json:"list"`
	Skip struct {
		X int `jsonschema:"minimum=1"`
	} `json:"-"`
}

// A tag that would leave the handler without a schema is a mistake of the
// program, found at its start like a name that cannot be used.
func TestTagsThatAreNoDescription(t *testing.T) {
	type minimum struct {
		N int `json:"n" jsonschema:"minimum=1"`
	}
	type empty struct {
		N int `json:"n" jsonschema:""`
	}
	type fine struct {
		N    int `json:"n" jsonschema:"how many"`
		Next *fine
	}
	said := func(make func()) (text string) {
		defer func() { text = fmt.Sprint(recover()) }()
		make()
		return ""
	}
	for name, tt := range map[string]struct {
		make func()
		want string
	}{
		"request": {func() { handler.New("h", func(context.Context, tagged[minimum]) (int, error) { return 0, nil }) },
			`handler: field N of handler_test.minimum has the tag jsonschema:"minimum=1": write a description in words there, or a schema of your own with WithRequestSchema`},
		"response": {func() {
			handler.New("h", func(context.Context, int) (map[string]*empty, error) { return nil, nil })
		},
			`handler: field N of handler_test.empty has the tag jsonschema:"": `},
		"settings": {func() { handler.SettingsSchema[minimum]() }, "handler: field N of "},
		"none":     {func() { handler.New("h", func(context.Context, tagged[fine]) (int, error) { return 0, nil }) }, "<nil>"},
	} {
		if got := said(tt.make); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"calculate", "a.b-c_d", "ünï", strings.Repeat("x", 128)} {
		if err := handler.CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "a b", "a\n", "a\x00", "\xff", strings.Repeat("x", 129), "a\u202eb"} {
		if handler.CheckName(name) == nil {
			t.Errorf("%q is taken", name)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("New takes a handler without a function")
		}
	}()
	handler.New[int, int]("h", nil)
}

func TestForeign(t *testing.T) {
	tests := []struct {
		status, code, message, details string
		want                           string // status/code/details
	}{
		{"handler_error", "c", "m", `{"a":1}`, `handler_error/c/{"a":1}`},
		{"handler_error", "", "m", ``, `handler_error/error/`},
		{"handler_error", "c", "m", `{"a":`, `handler_error/c/`},
		{"ok", "c", "m", ``, `handler_error/c/`},
		{"undecryptable", "c", "m", ``, `handler_error/c/`},
		{"invalid_payload", "other", "m", `1`, `invalid_payload/invalid_payload/`},
		{"handler_error", "c", "m", `"` + strings.Repeat("x", 1000) + `"`, `reply_too_large/reply_too_large/`},
	}
	for _, tt := range tests {
		e := handler.Foreign(tt.status, tt.code, tt.message, []byte(tt.details), 1000)
		if got := fmt.Sprintf("%s/%s/%s", e.Status, e.Code, e.Details); got != tt.want {
			t.Errorf("%.60v: got %s, want %s", tt, got, tt.want)
		}
	}
}

// FuzzRun: whatever arrives, there is one outcome, and no error quotes it.
func FuzzRun(f *testing.F) {
	for _, s := range []string{`{}`, `{"name":"abcdefgh"}`, `{"count":12345678}`, `{"own":"abcdefgh"}`, `[`, "\xff\xfe", `{"inner":{"flag":12345678}}`, ``} {
		f.Add([]byte(s))
	}
	h := handler.New("h", func(_ context.Context, v in) (in, error) { return v, nil })
	f.Fuzz(func(t *testing.T, payload []byte) {
		res := h.Run(t.Context(), handler.Info{}, nil, payload, 1<<20)
		if (res.Err == nil) == (res.Payload == nil) {
			t.Fatalf("payload %q, error %v", res.Payload, res.Err)
		}
		if res.Err != nil && res.Err.Status != handler.StatusInvalidPayload {
			t.Fatalf("%q: %v", payload, res.Err)
		}
		if res.Err == nil && !json.Valid(res.Payload) {
			t.Fatalf("%q gave %q", payload, res.Payload)
		}
		// The handler is the identity, so what it takes comes back the same.
		if res.Err == nil {
			if again := h.Run(t.Context(), handler.Info{}, nil, res.Payload, 1<<20); again.Err != nil || !bytes.Equal(again.Payload, res.Payload) {
				t.Fatalf("%q gave %q, then %q, %v", payload, res.Payload, again.Payload, again.Err)
			}
		}
	})
}
