package proto

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/descriptorpb"
)

var (
	messageLine = regexp.MustCompile(`(?m)^message (\w+) \{`)
	fieldLine   = regexp.MustCompile(`(?m)^  (?:repeated )?[\w.]+ (\w+) = (\d+);`)
)

// compare lists the fields of the source and those of the code.
func compare(source string, code *descriptorpb.FileDescriptorProto) error {
	var inSource, inCode []string
	starts := messageLine.FindAllStringSubmatchIndex(source, -1)
	for i, at := range starts {
		end := len(source)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		name := source[at[2]:at[3]]
		for _, f := range fieldLine.FindAllStringSubmatch(source[at[1]:end], -1) {
			inSource = append(inSource, fmt.Sprintf("%s.%s=%s", name, f[1], f[2]))
		}
	}
	for _, m := range code.GetMessageType() {
		for _, f := range m.GetField() {
			inCode = append(inCode, fmt.Sprintf("%s.%s=%d", m.GetName(), f.GetName(), f.GetNumber()))
		}
	}
	slices.Sort(inSource)
	slices.Sort(inCode)
	if len(inSource) == 0 || !slices.Equal(inSource, inCode) {
		return fmt.Errorf("handler.proto and the generated code differ; run make proto\nsource: %s\ncode:   %s",
			strings.Join(inSource, " "), strings.Join(inCode, " "))
	}
	return nil
}
