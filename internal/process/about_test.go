package process

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	protobuf "google.golang.org/protobuf/proto"

	"rrhost/internal/handler"
	"rrhost/plugin/proto"
)

// FuzzDescribe: whatever a plugin says of itself, what is taken of it prints, has
// handlers that can be called, each once, and schemas that are JSON.
func FuzzDescribe(f *testing.F) {
	for _, d := range []*proto.DescribeResponse{
		{},
		{Name: "n", Version: "v1", Sdk: "go", ConfigSchema: []byte("{}"), Handlers: []*proto.HandlerInfo{{Name: "a", RequestSchema: []byte("true")}, {Name: "b"}}},
		{Name: "n\n\x1b[2J", Handlers: []*proto.HandlerInfo{{Name: "a"}, {Name: "a"}}},
		{Name: strings.Repeat("n", 5000), Handlers: []*proto.HandlerInfo{{Name: strings.Repeat("a", 129)}}},
		{ConfigSchema: []byte("{"), Handlers: []*proto.HandlerInfo{{Name: "a b"}}},
		{Handlers: []*proto.HandlerInfo{{Name: "a", RequestSchema: []byte(strings.Repeat("[", 20_000)), ResponseSchema: []byte("nul")}}},
	} {
		text, err := protobuf.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d := new(proto.DescribeResponse)
		if protobuf.Unmarshal(text, d) != nil {
			return // gRPC says so
		}
		about, err := aboutOf(d)
		if err != nil {
			if !Hopeless(err) || !shown(err) {
				t.Errorf("%q: a restart would not help, and the error must print", err)
			}
			return
		}
		if len(about.Handlers) == 0 {
			t.Error("no handler")
		}
		for _, text := range []string{about.Name, about.Version, about.SDK} {
			if strings.ContainsFunc(text, func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }) || len(text) > 4*maxAbout+10 {
				t.Errorf("%q (%d bytes)", text, len(text))
			}
		}
		seen := make(map[string]bool)
		for _, h := range about.Handlers {
			if seen[h.Name] || handler.CheckName(h.Name) != nil {
				t.Errorf("handler %q", h.Name)
			}
			seen[h.Name] = true
			for _, schema := range [][]byte{h.RequestSchema, h.ResponseSchema, about.ConfigSchema} {
				if schema != nil && !json.Valid(schema) {
					t.Errorf("schema %q", schema)
				}
			}
		}
	})
}
