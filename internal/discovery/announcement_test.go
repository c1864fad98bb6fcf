package discovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"rrhost/config"
)

const hostID = "0b0d9a6e-6a4f-4e0c-8d55-2f1f6a3c9b10"

// example is the announcement that docs/wire.md shows.
func example(t testing.TB) (Announcement, []byte) {
	t.Helper()
	text, err := os.ReadFile("../../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "```json announcement\n")
	block, _, ended := strings.Cut(after, "```")
	if !found || !ended {
		t.Fatal("docs/wire.md shows no announcement")
	}
	a, err := Decode([]byte(hostID), []byte(block))
	if err != nil {
		t.Fatal(err)
	}
	return a, []byte(block)
}

// What the document shows is what is encoded: every member of it, and no other.
func TestDocumentExample(t *testing.T) {
	a, block := example(t)
	encoded, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := errors.Join(json.Unmarshal(encoded, &got), json.Unmarshal(block, &want)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("encodes to %s\nthe document has %s", encoded, block)
	}
}

// The document's table names the members of the JSON.
func TestDocumentMembers(t *testing.T) {
	text, err := os.ReadFile("../../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## What hosts announce\n")
	for _, of := range []reflect.Type{reflect.TypeFor[Announcement](), reflect.TypeFor[Topic](), reflect.TypeFor[Counters]()} {
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if !strings.Contains(section, "`"+name+"`") && !strings.Contains(section, `"`+name+`"`) {
				t.Errorf("the document does not say what %q is", name)
			}
		}
	}
}

func TestDocumentNumbers(t *testing.T) {
	text, err := os.ReadFile("../../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Join(strings.Fields(string(text)), " ")
	for _, phrase := range []string{
		fmt.Sprintf("JSON of at most %d bytes", MaxBytes),
		fmt.Sprintf("at most %d, each name once", MaxTopics),
		fmt.Sprintf("at most %d bytes of printing characters", maxText),
		fmt.Sprintf("and every %d seconds", Period/time.Second),
		fmt.Sprintf("counts for %d seconds, three times the period", Lifetime/time.Second),
		"`" + config.DefaultControlTopic + "` unless configured",
	} {
		if !strings.Contains(words, phrase) {
			t.Errorf("the document does not say %q", phrase)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	a, _ := example(t)
	tests := map[string]struct {
		change func(*Announcement)
		key    string
		want   string
	}{
		"another key":      {key: uuid.NewString(), want: "host is not the record's key"},
		"no id":            {change: func(a *Announcement) { a.Host = "" }, want: "host is not the record's key"},
		"name":             {change: func(a *Announcement) { a.Name = "\x1b[31m" }, want: "name or group"},
		"long name":        {change: func(a *Announcement) { a.Group = strings.Repeat("a", maxText+1) }, want: "name or group"},
		"time":             {change: func(a *Announcement) { a.Started = -1 }, want: "started_ms"},
		"topic":            {change: func(a *Announcement) { a.Topics[0].Name = "a b" }, want: "topic 1 has no name"},
		"topic twice":      {change: func(a *Announcement) { a.Topics = append(a.Topics, a.Topics[0]) }, want: "topic 2 has no name, or another's"},
		"too many topics":  {change: func(a *Announcement) { a.Topics = make([]Topic, MaxTopics+1) }, want: "2001 topics and may have 2000"},
		"state":            {change: func(a *Announcement) { a.Topics[0].State = "a\nb" }, want: "is not text"},
		"unknown status":   {change: func(a *Announcement) { a.Topics[0].Counters.Answered = map[string]int64{"fine": 1} }, want: "no status"},
		"negative count":   {change: func(a *Announcement) { a.Topics[0].Counters.Answered = map[string]int64{"ok": -1} }, want: "below 0"},
		"negative flight":  {change: func(a *Announcement) { a.Topics[0].Counters.InFlight = -1 }, want: "below 0"},
		"huge count":       {change: func(a *Announcement) { a.Topics[0].Counters.Answered = map[string]int64{"ok": math.MaxInt64} }, want: "too large"},
		"huge timeout":     {change: func(a *Announcement) { a.Topics[0].TimeoutMS = math.MaxInt64 / 2 }, want: "too large"},
		"negative timeout": {change: func(a *Announcement) { a.Topics[0].TimeoutMS = -1 }, want: "below 0"},
		"partition":        {change: func(a *Announcement) { a.Topics[0].Counters.Partitions = []int32{-1} }, want: "below 0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bad := a
			bad.Topics = append([]Topic(nil), a.Topics...)
			if tt.change != nil {
				tt.change(&bad)
			}
			bad.Format = format
			value, err := json.Marshal(bad)
			if err != nil {
				t.Fatal(err)
			}
			key := bad.Host
			if tt.key != "" {
				key = tt.key
			}
			if _, err := Decode([]byte(key), value); !errors.Is(err, ErrAnnouncement) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Decode = %v, want %q", err, tt.want)
			}
		})
	}
	for name, value := range map[string]string{
		"JSON": "{", "format": `{"format":2,"host":"` + hostID + `"}`, "types": `{"format":1,"topics":3}`,
		"size": `{"format":1,"name":"` + strings.Repeat("a", MaxBytes) + `"}`,
	} {
		if _, err := Decode([]byte(hostID), []byte(value)); !errors.Is(err, ErrAnnouncement) {
			t.Errorf("%s: Decode = %v", name, err)
		}
	}
}

// Schemas that would be too much are left out, and the rest is announced.
func TestEncodeLeavesSchemasOut(t *testing.T) {
	a, _ := example(t)
	large, err := json.Marshal(map[string]string{"description": strings.Repeat("x", MaxBytes)})
	if err != nil {
		t.Fatal(err)
	}
	a.Topics[0].Request = large
	value, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode([]byte(a.Host), value)
	if err != nil || !got.NoSchemas || got.Topics[0].Request != nil || got.Topics[0].Handler != "calculate" {
		t.Errorf("decoded %+v, %v", got, err)
	}
	if string(a.Topics[0].Request) != string(large) {
		t.Error("Encode changed what it was called on")
	}
	// Those of others stay: the largest go first, and no more than must.
	small, middle := json.RawMessage(`{"type":"object"}`), json.RawMessage(`"`+strings.Repeat("<", 60_000)+`"`)
	a.Topics = []Topic{
		{Name: "a", Request: small, Response: middle}, {Name: "b", Request: large, Response: small}, {Name: "c", Request: middle, Response: small},
	}
	if value, err = a.Encode(); err != nil {
		t.Fatal(err)
	}
	got, err = Decode([]byte(a.Host), value)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Topic{{Request: small}, {Response: small}, {Request: middle, Response: small}} {
		if has := got.Topics[i]; (has.Request == nil) != (want.Request == nil) || (has.Response == nil) != (want.Response == nil) {
			t.Errorf("topic %s has a request schema of %d bytes and a response schema of %d", has.Name, len(has.Request), len(has.Response))
		}
	}
	// As many topics as may be, with all that is said of each.
	a.Topics = nil
	for i := range MaxTopics {
		a.Topics = append(a.Topics, Topic{Name: fmt.Sprintf("a-topic-with-a-name-of-its-own-%d", i), Plugin: "a-plugin", Version: "v1.2.3", SDK: "go v1.0.0",
			State: "running", Handler: "a-handler", TimeoutMS: 30000, Request: small, Counters: Counters{
				Answered: map[string]int64{"ok": 1 << 40, "handler_error": 1 << 30}, Partitions: []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
			}})
	}
	if value, err = a.Encode(); err != nil {
		t.Fatal(err)
	}
	if got, err = Decode([]byte(a.Host), value); err != nil || len(got.Topics) != MaxTopics || got.Topics[0].State != "running" {
		t.Errorf("%d topics, %v", len(got.Topics), err)
	}
	a.Topics = make([]Topic, MaxTopics+1)
	if _, err := a.Encode(); err == nil || !strings.Contains(err.Error(), "2001 topics") {
		t.Errorf("Encode of 2001 topics = %v", err)
	}
}

// FuzzDecode: what decodes encodes to what decodes to the same; nothing that is
// shown of it can do anything to a terminal.
func FuzzDecode(f *testing.F) {
	_, block := example(f)
	f.Add([]byte(hostID), block)
	f.Add([]byte(hostID), []byte(`{"format":1,"host":"`+hostID+`","topics":null}`))
	f.Add([]byte(hostID), []byte(`{"format":1,"host":"`+hostID+`","name":"\u001b","topics":[{"name":"a"}]}`))
	f.Add([]byte(hostID), []byte(`{"format":1,"HOST":"`+hostID+`","topics":[{"name":"a","request_schema":[1, 2]}]}`))
	f.Add([]byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		a, err := Decode(key, value)
		if err != nil {
			if !errors.Is(err, ErrAnnouncement) || !plain(err.Error()) {
				t.Errorf("error is %q", err)
			}
			return
		}
		for _, text := range []string{a.Host, a.Name, a.Group} {
			if Plain(text) != text {
				t.Errorf("%q is not plain", text)
			}
		}
		again, err := a.Encode()
		if err != nil {
			if len(value) > MaxBytes/8 { // escaping makes it longer
				return
			}
			t.Fatal(err)
		}
		if b, err := Decode(key, again); err != nil || b.Host != a.Host || len(b.Topics) != len(a.Topics) {
			t.Errorf("a second time: %+v, %v", b, err)
		}
	})
}

func FuzzPlain(f *testing.F) {
	for _, seed := range []string{"", "worker-3", "a\x1b[31mb", "\xff\xfe", strings.Repeat("ü", 300), "\u202e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := Plain(text)
		if !plain(got) || plain(text) && got != text {
			t.Errorf("Plain(%q) = %q", text, got)
		}
		if utf8.RuneCountInString(text) > 0 && got == "" {
			t.Errorf("Plain(%q) is empty", text)
		}
	})
}
