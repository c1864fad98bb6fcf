package scaffold

import (
	"encoding/json"
	"fmt"

	"rrhost"
)

var typescript = Language{
	Name: "ts", Title: "TypeScript",
	Next:    func(string) []string { return []string{"npm install", "npm test", "npm run build"} },
	Updated: "npm install",
	mark:    "package.json",
	sdk:     typescriptSDK,
}

// typescriptAbout is what the templates are to know: the versions of libraries,
// by their names.
type typescriptAbout struct {
	Libraries, Tools map[string]string
}

// typescriptLibraries are those that a plugin needs of the SDK's, which also has
// requesters, and typescriptTools those that it is built with.
var (
	typescriptLibraries = []string{"@bufbuild/protobuf", "@grpc/grpc-js"}
	typescriptTools     = []string{"@types/node", "esbuild", "typescript"}
)

func typescriptSDK() (files map[string][]byte, about any, err error) {
	if files, err = tree("sdk/typescript"); err != nil {
		return nil, nil, err
	}
	text, err := rrhost.SDK.ReadFile("sdk/typescript/package.json")
	if err != nil {
		return nil, nil, err
	}
	var sdk struct {
		Dependencies, DevDependencies map[string]string
	}
	if err := json.Unmarshal(text, &sdk); err != nil {
		return nil, nil, fmt.Errorf("package.json of the SDK: %w", err)
	}
	a := typescriptAbout{Libraries: make(map[string]string), Tools: make(map[string]string)}
	for _, name := range typescriptLibraries {
		a.Libraries[name] = sdk.Dependencies[name]
	}
	for _, name := range typescriptTools {
		a.Tools[name] = sdk.DevDependencies[name]
	}
	return files, a, nil
}
