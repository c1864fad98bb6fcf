# rrhost. `make` alone, or `make help`, lists the targets.
GO ?= go
# The race detector needs a C compiler; without one the tests run all the same.
RACE := $(if $(shell command -v $${CC:-cc} 2>/dev/null),-race,)
TESTFLAGS ?= $(RACE) -count=1 -timeout 20m -p 2
FUZZTIME ?= 300000x
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
# A plugin with a go.mod of its own, as `rrhost plugin init` makes them, is built where it lies.
PLUGINS := $(filter-out $(patsubst plugins/%/go.mod,%,$(wildcard plugins/*/go.mod)),$(patsubst plugins/%/main.go,%,$(wildcard plugins/*/main.go)))

.DEFAULT_GOAL := help
.PHONY: help build plugins demo test test-fast lint cross bench bench-boundary proto fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s%s\n", $$1, $$2 }' Makefile

build: ## rrhost and rrclient, into bin/
	$(GO) build -o bin/ ./cmd/rrhost ./cmd/rrclient

plugins: $(PLUGINS:%=plugin-%) ## each plugin of plugins/, into its own folder
.PHONY: $(PLUGINS:%=plugin-%)
$(PLUGINS:%=plugin-%): plugin-%:
	$(GO) build -o plugins/$*/$* ./plugins/$*

demo: build plugins ## a host, a plugin, one request and its audit rows; needs Go alone
	bin/rrhost demo

test: norace ## every test, on a real Kafka and a real Cassandra (see scripts/services)
	scripts/services/languages.sh scripts/services/with.sh $(GO) test $(TESTFLAGS) ./...

test-fast: norace ## the quick tests, which need Go alone; under two minutes
	RRHOST_TEST_FAST=1 GOFLAGS=-ldflags=-s GORACE=atexit_sleep_ms=0 $(GO) test $(RACE) -vet=off -timeout 5m -p 8 -parallel 6 ./...

.PHONY: norace
norace:
	@$(if $(RACE),:,echo "no C compiler: the tests run without the race detector")

lint: ## gofmt, go vet, staticcheck, and govulncheck where its database can be had
	@out=$$(gofmt -l $$(git ls-files -- '*.go')); [ -z "$$out" ] || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) -checks all ./...
	@echo $(GO) run $(GOVULNCHECK) ./...; out=$$($(GO) run $(GOVULNCHECK) ./... 2>&1) || case $$out in \
	  *'fetching vulnerabilities'*) out="govulncheck: its database cannot be reached from here, so nothing was checked" ;; \
	  *) echo "$$out"; exit 1 ;; \
	esac; echo "$$out"

cross: ## build everything for Linux and macOS, amd64 and arm64
	@for p in $(PLATFORMS); do echo "build for $$p"; \
	  CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build ./... || exit 1; done

bench: ## compare rrhost with a bare echo on a real broker; takes some minutes
	$(GO) run ./bench $(BENCHFLAGS)

bench-boundary: ## what plugins cost beside a bare gRPC stream, and that it is not too much
	$(GO) test -run '^$$' -bench Boundary -timeout 20m ./plugin -floors

proto: ## generate the code of plugin/proto again
	$(GO) generate ./plugin/proto

fuzz: ## every fuzz target, FUZZTIME each
	@grep -rE --include='*_test.go' -o '^func Fuzz[A-Za-z0-9_]+' . | sed 's/:func / /' | sort | while read -r file target; do \
	  echo "$${file%/*} $$target"; \
	  $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$${file%/*}" </dev/null || exit 1; done

clean: ## remove what was built; data/ and .cache/ stay
	rm -rf bin $(foreach p,$(PLUGINS),plugins/$p/$p)
