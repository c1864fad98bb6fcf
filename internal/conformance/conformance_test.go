package conformance

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	googleproto "google.golang.org/protobuf/proto"

	"rrhost/internal/process"
	"rrhost/internal/testservices"
	"rrhost/plugin/proto"
)

const startWithin = 30 * time.Second

// outcomes runs cases and returns what failed, with all results.
func outcomes(ctx context.Context, cfg process.Config, only []string) (failed []string, all []Result, err error) {
	passed, err := Run(ctx, cfg, Options{StartTimeout: startWithin, Only: only}, func(r Result) {
		all = append(all, r)
		if r.Outcome == Failed {
			failed = append(failed, r.Case)
		}
	})
	if err == nil && passed != (len(failed) == 0) {
		err = fmt.Errorf("passed is %v, and these failed: %q", passed, failed)
	}
	return failed, all, err
}

// TestGoSDK: the Go SDK's own plugin passes, and nothing is skipped.
func TestGoSDK(t *testing.T) {
	t.Parallel()
	_, all, err := outcomes(t.Context(), process.Config{Name: "conformance", Path: goPlugin, Dir: t.TempDir()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Outcome != OK {
			t.Errorf("%s: %s: %s", r.Case, r.Outcome, r.Seen)
		}
	}
	if len(all) != len(cases) {
		t.Errorf("%d results of %d cases", len(all), len(cases))
	}
}

// TestFaults: a plugin with one fault fails the cases that are about it, and no
// other of those that are run.
func TestFaults(t *testing.T) {
	testservices.Long(t)
	t.Parallel()
	tests := []struct {
		fault  string
		cases  []string // to be run
		failed []string
	}{
		// First those that take their time.
		{"ignores SIGTERM", []string{"drain", "close"}, []string{"drain"}},
		{"says no goodbye", []string{"drain", "close"}, []string{"drain"}},
		{"stays after Shutdown", []string{"shutdown", "host gone"}, []string{"shutdown"}},
		{"outlives its host", []string{"shutdown", "host gone"}, []string{"host gone"}},
		{"heeds no context", []string{"info", "deadline"}, []string{"deadline"}},
		{"heeds no context", []string{"info", "cancel"}, []string{"cancel"}},
		{"one at a time", []string{"info", "parallel"}, []string{"parallel"}},
		{"default limits", []string{"concurrency", "large payload"}, []string{"large payload"}},
		{"logs nothing", []string{"deadline", "cancel"}, []string{"cancel"}},
		{"logs nothing", []string{"deadline", "chatty"}, []string{"chatty"}},

		{"none", []string{"handshake", "by hand", "token", "describe", "panic", "drain", "chatty"}, nil},
		{"noise", []string{"handshake", "health", "echo"}, []string{"handshake"}},
		{"silent by hand", []string{"by hand"}, []string{"by hand"}},
		{"sick", []string{"handshake", "health", "describe"}, []string{"health"}},
		{"lets anyone in", []string{"health", "token", "describe"}, []string{"token"}},
		{"two of a name", []string{"health", "describe", "configure"}, []string{"describe"}},
		{"broken schema", []string{"health", "describe", "configure"}, []string{"describe"}},
		{"fickle", []string{"describe", "configure"}, []string{"describe"}},
		{"refuses all settings", []string{"describe", "configure", "no handler"}, []string{"configure"}},
		{"invents handlers", []string{"configure", "no handler"}, []string{"no handler"}},
		{"answers twice", []string{"concurrency", "early cancel", "echo"}, []string{"concurrency", "early cancel", "echo"}},
		{"dies of garbage", []string{"concurrency", "garbage", "info"}, []string{"garbage"}},
		{"interruptible", []string{"interrupt", "no handler"}, []string{"interrupt"}},
		{"dies of SIGTERM", []string{"drain", "close"}, []string{"drain"}},
		{"counts wrong", []string{"drain", "close"}, []string{"drain"}},
		{"drops what runs", []string{"drain", "close"}, []string{"close"}},
		{"exits with 2", []string{"drain", "shutdown", "host gone"}, []string{"drain", "shutdown"}},
		{"re-encodes", []string{"echo", "info"}, []string{"echo"}},
		{"forgets attempts", []string{"echo", "info"}, []string{"info"}},
		{"drops details", []string{"info", "fail"}, []string{"fail"}},
		{"tells what was thrown", []string{"fail", "panic"}, []string{"panic"}},
		{"logs what was thrown", []string{"fail", "panic"}, []string{"panic"}},
		{"quotes payloads", []string{"fail", "typed"}, []string{"typed"}},
		{"wants every field", []string{"fail", "typed"}, []string{"typed"}},
		{"limitless", []string{"info", "huge"}, []string{"huge"}},
		{"forgets its settings", []string{"settings", "refused settings"}, []string{"settings"}},
		{"takes all settings", []string{"settings", "refused settings"}, []string{"refused settings"}},
		{"quotes settings", []string{"settings", "refused settings"}, []string{"refused settings"}},
		{"exits as it likes", []string{"exit", "info"}, []string{"exit"}},
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Most of the time is waiting for what never comes: they run at once, whatever
	// the number of processors.
	type outcome struct {
		failed []string
		all    []Result
		err    error
	}
	got := make([]outcome, len(tests))
	atOnce := make(chan struct{}, 10)
	var wg sync.WaitGroup
	for i, tt := range tests {
		cfg := process.Config{Name: "faulty", Path: self, Args: []string{"plugin", tt.fault}, Dir: t.TempDir()}
		wg.Go(func() {
			atOnce <- struct{}{}
			defer func() { <-atOnce }()
			o := &got[i]
			o.failed, o.all, o.err = outcomes(t.Context(), cfg, tt.cases)
		})
	}
	wg.Wait()
	tried := make(map[string]bool)
	for i, tt := range tests {
		for _, name := range tt.failed {
			tried[name] = true
		}
		if got[i].err != nil || !slices.Equal(got[i].failed, tt.failed) {
			t.Errorf("%s: %v, failed: %q, want %q; all: %+v", tt.fault, got[i].err, got[i].failed, tt.failed, got[i].all)
		}
		for _, r := range got[i].all {
			if r.Outcome == Failed && (r.Seen == "" || r.Want == "" || !strings.HasPrefix(r.Doc, Document+"#")) {
				t.Errorf("%s: says too little: %+v", tt.fault, r)
			}
		}
	}
	for _, c := range cases {
		if !tried[c.Name] && !hard[c.Name] {
			t.Errorf("no fault makes %q fail", c.Name)
		}
	}
}

// hard are cases that fail only in a plugin that is worse than any here: with them
// fail the ones that are tried.
var hard = map[string]bool{"short deadline": true}

// TestAnyPlugin: one without the conformance handlers is not tried on those.
func TestAnyPlugin(t *testing.T) {
	t.Parallel()
	some := []string{"handshake", "describe", "garbage", "drain"}
	for _, c := range cases {
		if c.Handlers {
			some = append(some, c.Name)
		}
	}
	_, all, err := outcomes(t.Context(), process.Config{Name: "echo", Path: echoPlugin, Dir: t.TempDir()}, some)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range all {
		want := OK
		if i >= 4 {
			want = Skipped
		}
		if r.Outcome != want {
			t.Errorf("%s: %s: %s; want %s", r.Case, r.Outcome, r.Seen, want)
		}
	}
}

// TestNoPlugin: what does not start fails one case, and the others say why they
// are not tried.
func TestNoPlugin(t *testing.T) {
	t.Parallel()
	failed, all, err := outcomes(t.Context(), process.Config{Name: "true", Path: "/bin/true", Dir: t.TempDir()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(failed, []string{"handshake", "by hand"}) {
		t.Errorf("failed: %q", failed)
	}
	for _, r := range all {
		if r.Outcome == Skipped && r.Seen != "the plugin does not start" {
			t.Errorf("%s skipped: %s", r.Case, r.Seen)
		}
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	var all []Result
	_, err := Run(ctx, process.Config{Name: "conformance", Path: goPlugin, Dir: t.TempDir()}, Options{StartTimeout: startWithin}, func(r Result) {
		if all = append(all, r); len(all) == 3 {
			cancel(why)
		}
	})
	if !errors.Is(err, why) || len(all) != 3 {
		t.Errorf("Run = %v after %d cases", err, len(all))
	}
}

// TestByHandIsNobodyElse: a plugin that is not trusted with the host's user is not
// started as that.
func TestByHandIsNobodyElse(t *testing.T) {
	var skip skipped
	if err := byHand(t.Context(), &suite{cfg: process.Config{Path: "/nowhere", User: "nobody"}}); !errors.As(err, &skip) {
		t.Errorf("byHand = %v", err)
	}
}

// TestDocumentedFrames: the document's bytes are the frames that they are said to be.
func TestDocumentedFrames(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", Document))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]googleproto.Message{
		"RequestFrame": &proto.RequestFrame{
			Requests: []*proto.Request{{
				Number: 2, Handler: "calculate", Payload: []byte(`{"a":10,"b":5}`), TimeoutUs: 30_000_000,
				RequestId: "6f1c1f0a-3b52-4a1e-9c3d-0d8a5f3b2c11", Topic: "calculate", Attempt: 1,
			}},
			Cancels: []uint64{1},
		},
		"ResultFrame": &proto.ResultFrame{Results: []*proto.Result{
			{Number: 2, Payload: []byte(`{"result":15}`), DurationUs: 45},
			{Number: 1, Error: &proto.Error{Status: "deadline_exceeded", Code: "deadline_exceeded", Message: "the deadline passed"}, DurationUs: 1500},
		}},
	}
	blocks := regexp.MustCompile("(?s)```bytes (\\w+)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != len(want) {
		t.Errorf("%d blocks of bytes, want %d", len(blocks), len(want))
	}
	for _, b := range blocks {
		var frame []byte
		for line := range strings.Lines(b[2]) {
			digits, _, _ := strings.Cut(line, ";")
			part, err := hex.DecodeString(strings.TrimSpace(digits))
			if err != nil {
				t.Fatalf("%s: %v", b[1], err)
			}
			frame = append(frame, part...)
		}
		if want[b[1]] == nil {
			t.Fatalf("there is no example %q", b[1])
		}
		got := want[b[1]].ProtoReflect().New().Interface()
		if err := googleproto.Unmarshal(frame, got); err != nil || !googleproto.Equal(got, want[b[1]]) {
			t.Errorf("%s: %v, %v", b[1], got, err)
		}
	}
}

// TestOptions: some cases, and what the plugin printed meanwhile.
func TestOptions(t *testing.T) {
	t.Parallel()
	cfg := process.Config{Name: "conformance", Path: goPlugin, Dir: t.TempDir()}
	var (
		ran []string
		log bytes.Buffer
	)
	o := Options{StartTimeout: startWithin, Only: []string{"cancel", "describe"}, Log: &log}
	passed, err := Run(t.Context(), cfg, o, func(r Result) { ran = append(ran, r.Case) })
	if err != nil || !passed || !slices.Equal(ran, []string{"describe", "cancel"}) {
		t.Errorf("Run = %v, %v; ran %q", passed, err, ran)
	}
	if !strings.Contains(log.String(), "slow was cancelled") {
		t.Errorf("log: %s", &log)
	}
	o.Only = []string{"describe", "fly"}
	if _, err := Run(t.Context(), cfg, o, func(Result) { t.Error("it runs") }); !errors.Is(err, ErrUnknownCase) || !strings.Contains(err.Error(), `"fly"; there is: handshake, by hand, `) {
		t.Errorf("a case that there is not: %v", err)
	}
}

// TestDocument: the document's tables have the cases and the handlers that there
// are, and the sections that cases point to.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", Document))
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(string(text), -1) {
		if !hasSection(string(text), match[1]) {
			t.Errorf("the document links to a section %q, which it lacks", match[1])
		}
	}
	_, tables, _ := strings.Cut(string(text), "## Conformance\n")
	every, rest, _ := strings.Cut(tables, "Cases of behaviour")
	behaviour, list, _ := strings.Cut(rest, "The conformance handlers")
	var got, want []string
	row := regexp.MustCompile(`(?m)^\| ([^|]+) \| ([^|]+) \| \[[^]]+\]\(#([^)]+)\) \|$`)
	for _, part := range []struct{ kind, text string }{{"every plugin", every}, {"behaviour", behaviour}} {
		for _, cells := range row.FindAllStringSubmatch(part.text, -1) {
			got = append(got, part.kind+": "+strings.Join(cells[1:], ", "))
		}
	}
	for _, c := range cases {
		kind := "every plugin"
		if c.Handlers {
			kind = "behaviour"
		}
		want = append(want, kind+": "+strings.Join([]string{c.Name, c.Want, c.Section}, ", "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the document's cases:\n%s\nthe code's:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var names []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z]+)` \\|").FindAllStringSubmatch(list, -1) {
		names = append(names, row[1])
	}
	if !slices.Equal(names, handlers) {
		t.Errorf("the document's handlers are %q, the code's %q", names, handlers)
	}
}

// hasSection tells whether a document has a heading with this anchor.
func hasSection(text, anchor string) bool {
	for _, h := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		if strings.ReplaceAll(strings.ToLower(h[1]), " ", "-") == anchor {
			return true
		}
	}
	return false
}
