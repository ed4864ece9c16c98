# Everything one does with the project. `make` alone lists it.
#
# Variables: ARGS (flags for run, demo and bench), FUZZTIME (for each fuzz target),
# VERSION (what the program says it is).

SHELL := /bin/sh
.DEFAULT_GOAL := help

FUZZTIME ?= 2m
VERSION ?= $(shell git describe --tags --dirty 2>/dev/null || git describe --always --dirty --abbrev=12 2>/dev/null | sed 's/^/devel-/')
# The time of the last change: no clock that is right shows a time before it.
BUILT ?= $(shell git log -1 --format=%ct 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.builtAt=$(BUILT)

# Developer tools have a module of their own: the product's stays small.
TOOL := go tool -modfile=tools/go.mod

# What is tested on 32 bits as well: all but the program as a whole, whose parts
# these are. It is built there all the same.
TEST_32 := ./internal/...

.PHONY: help build run demo test race fuzz cover lint fmt check bench chaos \
	needs vet vuln fmt-check test-32 clean

help: ## list what there is
	@echo "Fieldmedic: make TARGET"
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/fieldmedic (static, no cgo)
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/fieldmedic ./cmd/agent

run: build ## build, and run the service (ARGS="--config FILE")
	./bin/fieldmedic run $(ARGS)

demo: build ## build, and watch a simulated site break and heal (Ctrl-C ends it)
	./bin/fieldmedic demo $(ARGS)

test: needs vet test-32 ## vet and all tests; installs Mosquitto where it is missing (as root)
	go test ./...

race: needs ## all tests under the race detector (needs cgo)
	CGO_ENABLED=1 go test -race ./...

fuzz: ## every fuzz target, two minutes each (FUZZTIME=10s)
	./scripts/fuzz $(FUZZTIME)

cover: needs ## test coverage, by function; bin/cover.html by line
	@mkdir -p bin
	go test -coverprofile=bin/cover.out -coverpkg=./cmd/...,./internal/... ./...
	go tool cover -html=bin/cover.out -o bin/cover.html
	go tool cover -func=bin/cover.out | tail -1

lint: ## golangci-lint with the house rules of .golangci.yml
	$(TOOL) golangci-lint run ./...

fmt: ## format the code (gofumpt)
	$(TOOL) golangci-lint fmt ./...

check: fmt-check lint vuln test ## all that must be clean before a change lands

bench: needs ## measure against a Mosquitto of its own (docs/performance.md)
	go run ./test/bench $(ARGS)

chaos: needs ## break agent, broker and disk by seed, and count what is lost (docs/reliability.md)
	go run ./test/chaos $(or $(ARGS),-short)

# The parts of the above.

needs:
	@./scripts/needs

vet:
	go vet ./...

# Gateways with 32 bits are in use; the numbers of codes, and sizes, are where it
# matters.
test-32:
	GOARCH=386 go vet ./...
	GOARCH=386 go test $(TEST_32)

fmt-check:
	@$(TOOL) golangci-lint fmt --diff ./... || { echo "not formatted: run make fmt" >&2; exit 1; }

vuln:
	@./scripts/vuln

clean: ## remove what was built
	rm -rf bin
