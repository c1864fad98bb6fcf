package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"rrhost/cmd/internal/scripttest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"rrhost": main})
}

func TestScripts(t *testing.T) {
	scripttest.Run(t, "rrhost/cmd/rrclient", "rrhost/internal/testplugin/raw")
}
