package process

import (
	"encoding/json"
	"fmt"

	"rrhost/internal/handler"
	"rrhost/internal/stream"
	"rrhost/plugin/proto"
)

// aboutOf checks what a plugin says of itself.
func aboutOf(d *proto.DescribeResponse) (stream.About, error) {
	about := stream.About{
		Name: aboutText(d.GetName()), Version: aboutText(d.GetVersion()), SDK: aboutText(d.GetSdk()),
		ConfigSchema: validOrNil(d.GetConfigSchema()),
	}
	if len(d.GetHandlers()) == 0 {
		return about, &RefusedError{"it has no handler"}
	}
	if n := len(d.GetHandlers()); n > maxHandlers {
		return about, &RefusedError{fmt.Sprintf("it has %d handlers, and %d are the most", n, maxHandlers)}
	}
	seen := make(map[string]bool)
	for _, h := range d.GetHandlers() {
		if err := handler.CheckName(h.GetName()); err != nil {
			return about, &RefusedError{err.Error()}
		}
		if seen[h.GetName()] {
			return about, &RefusedError{fmt.Sprintf("two of its handlers are named %q", h.GetName())}
		}
		seen[h.GetName()] = true
		about.Handlers = append(about.Handlers, stream.HandlerInfo{
			Name: h.GetName(), RequestSchema: validOrNil(h.GetRequestSchema()), ResponseSchema: validOrNil(h.GetResponseSchema()),
			ChecksPayload: h.GetChecksPayload(),
		})
	}
	return about, nil
}

// Bounds of what a plugin says of itself.
const (
	maxAbout    = 200 // bytes of a name or version
	maxHandlers = 1000
)

func aboutText(s string) string {
	if len(s) > maxAbout {
		s = s[:maxAbout] + "…"
	}
	return printable(s)
}

func validOrNil(schema []byte) []byte {
	if !json.Valid(schema) {
		return nil
	}
	return schema
}
