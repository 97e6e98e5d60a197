# The targets are listed by "make help".
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
GO ?= go
PKG ?= ./...

# Go stamps binaries with the commit, and fails where git refuses to read the
# repository: one that belongs to another user, as in many containers.
ifneq ($(shell git rev-parse HEAD >/dev/null 2>&1 && echo ok),ok)
export GOFLAGS := $(strip $(shell $(GO) env GOFLAGS) -buildvcs=false)
endif

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r target text; do printf '  make %-12s %s\n' "$$target" "$$text"; done

.PHONY: postgres
postgres: ## make sure PostgreSQL's programs are there (installs or fetches them)
	@scripts/postgres.sh

.PHONY: build
build: ## build bin/rowfence
	$(GO) build -o bin/rowfence ./cmd/rowfence

.PHONY: demo
demo: postgres build ## run the audit server on demo data until Ctrl-C (ROWS=1000000 LISTEN=127.0.0.1:8080)
	@exec bin/rowfence serve --demo --data-dir .rowfence $(if $(ROWS),--rows $(ROWS)) $(if $(LISTEN),--listen $(LISTEN))

# The modules peer and examples are tested with all packages. Their tests are not cached:
# go does not see that they read files outside of their modules.
.PHONY: test
test: postgres check ## run the quick checks and all tests (RACE=1: with the race detector; PKG=./sqlgen)
	$(GO) run ./scripts/gotest $(if $(RACE),-race) $(PKG) $(if $(filter ./...,$(PKG)),$(foreach module,peer examples,-- -C $(module) $(if $(RACE),-race) -count=1 ./...))

.PHONY: peer
peer: ## check what OPA's own SQL target makes of the conformance files
	$(GO) -C peer test -count=1 ./...

.PHONY: examples
examples: postgres ## run the examples of services, each library on a private PostgreSQL
	$(GO) -C examples test -count=1 ./...

.PHONY: support
support: postgres ## rewrite the SQL, and OPA's, in the conformance files, and docs/rego-support.md of them
	$(GO) test -count=1 ./oracle -run Conformance -update
	$(GO) -C peer test -count=1 ./... -run Peer -update
	$(GO) test -count=1 ./oracle -run Peer -update
	$(GO) test -count=1 ./internal/conformance -run Support -update

.PHONY: oracle
oracle: postgres ## hold random policies against OPA (N=5000 SEED=1; a random seed otherwise)
	$(GO) test ./oracle -run '^TestRandomPolicies$$' -v -timeout 24h -oracle.n $(or $(N),5000) -oracle.seed $(or $(SEED),0)

.PHONY: check
check: ## formatting, go vet, tidiness of the go.mod files
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:" $$unformatted; exit 1; fi
	$(GO) vet ./...
	$(GO) mod tidy -diff
	$(GO) -C peer vet ./...
	$(GO) -C peer mod tidy -diff
	$(GO) -C examples vet ./...
	$(GO) -C examples mod tidy -diff

.PHONY: lint
lint: check ## the quick checks and golangci-lint (its first build takes minutes)
	$(GO) tool -modfile=tools/go.mod golangci-lint run ./...
	cd peer && $(GO) tool -modfile=../tools/go.mod golangci-lint run ./...
	cd examples && $(GO) tool -modfile=../tools/go.mod golangci-lint run ./...

.PHONY: bench
bench: postgres ## run the benchmarks (PKG=./sqlgen BENCH=Render)
	$(GO) test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem -timeout 60m $(PKG)
	$(if $(filter ./...,$(PKG)),$(if $(BENCH),$(GO) -C peer test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 60m .,@$(MAKE) bench-engine))

# One run of all that is compared. The output is kept, for benchstat.
ENGINE_BENCH := $(GO) -C peer test -run '^$$' -benchmem -timeout 60m .
.PHONY: bench-engine
bench-engine: ## hold the engine against OPA, in one run, and print the ratios (COUNT=5 BENCHTIME=1s)
	@mkdir -p .rowfence
	@{ $(ENGINE_BENCH) -bench 'Engine|Subject|Skew|Helpers|Indexed' -benchtime $(or $(BENCHTIME),1s) -count $(or $(COUNT),1); \
	   $(ENGINE_BENCH) -bench Parallel -cpu 1,2 -count $(or $(COUNT),1); \
	   $(ENGINE_BENCH) -bench Million -benchtime 1000000x; } | tee .rowfence/engine.bench
	@$(GO) -C peer run ./ratios < .rowfence/engine.bench

# The database of so many rows is kept in .rowfence, and so are the figures: a run
# says how times have grown from those of 1,000,000 rows, if there are any.
.PHONY: bench-scale
bench-scale: postgres ## measure searches on a large log, beside other ways (ROWS=10000000 CAP=10s)
	@mkdir -p .rowfence
	$(GO) build -o .rowfence/scale ./scripts/scale
	.rowfence/scale -rows $(or $(ROWS),10000000) -cap $(or $(CAP),10s) $(SCALE)

.PHONY: fuzz
fuzz: postgres ## run each fuzz target in turn (FUZZTIME=20s PKG=./sqlgen)
	@FUZZTIME=$(or $(FUZZTIME),20s) scripts/fuzz.sh $(PKG)
