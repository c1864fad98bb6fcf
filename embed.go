// Package rrhost carries the sources of the SDKs, so that `rrhost plugin init`
// can hand them to authors of plugins, who then need neither a clone of this
// repository nor a published module. They are embedded here because no package
// can embed what lies above it. Package internal/scaffold gives them out.
package rrhost

import "embed"

// SDK has the SDKs' files by their paths in the repository, their tests among
// them. A test of internal/scaffold holds the packages against what package
// plugin/plugintest imports.
//
//go:embed LICENSE go.mod go.sum
//go:embed plugin/*.go plugin/plugintest/*.go plugin/proto/*.go plugin/proto/handler.proto
//go:embed internal/attach/*.go internal/guard/*.go internal/handler/*.go internal/process/*.go internal/schema/*.go internal/stream/*.go
//go:embed sdk/python/LICENSE sdk/python/README.md sdk/python/pyproject.toml
//go:embed sdk/python/rrhost/*.py sdk/python/rrhost/py.typed sdk/python/rrhost/proto/*.py sdk/python/rrhost/proto/*.pyi
//go:embed sdk/typescript/LICENSE sdk/typescript/README.md sdk/typescript/package.json
//go:embed sdk/typescript/bin/bundle.mjs sdk/typescript/src/plugin
var SDK embed.FS
