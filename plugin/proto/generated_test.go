package proto

import (
	"os"
	"testing"

	"google.golang.org/protobuf/reflect/protodesc"
)

// TestGeneratedFromThisFile: every message and field of handler.proto is in the
// generated code by its number. (That the files are exactly what the generators
// write, `make proto` and `git diff --exit-code plugin/proto` show.)
func TestGeneratedFromThisFile(t *testing.T) {
	source, err := os.ReadFile("handler.proto")
	if err != nil {
		t.Fatal(err)
	}
	if err := compare(string(source), protodesc.ToFileDescriptorProto(File_handler_proto)); err != nil {
		t.Error(err)
	}
}
