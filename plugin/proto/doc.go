// Package proto is the contract between the host and plugins, generated from
// handler.proto, which documents it for plugins in other languages.
package proto

//go:generate go run github.com/bufbuild/buf/cmd/buf@v1.75.0 generate
