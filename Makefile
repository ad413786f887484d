# Everything a newcomer needs is two commands: make run and make test.
# The rest is for those who change the code or measure it.

GO        ?= go
BINARIES  := collectord workerd coordinatord cloudlessctl
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS   := -s -w -X $(shell sed -n 's/^module //p' go.mod)/pkg/daemon.version=$(VERSION)
FUZZTIME  ?= 20s
SEEDS     ?= 1000
BENCHTIME ?= 1s

FLAGS     := -trimpath

# What the tests use and the Debian packages that have it. gcc and libc6-dev
# serve the race detector.
TEST_NEEDS := ip:iproute2 unshare:util-linux python3:python3 gcc:gcc ld:binutils
TEST_MORE  := python3-jsonpickle libc6-dev

.PHONY: run test check build vet tidy-check fuzz bench bench-store clean test-deps

## run: build, then start a whole fleet on this machine with throw-away state (Ctrl-C ends it)
run: build
	@exec bin/cloudlessctl demo

## test: install what the tests need (when root), then run every test with the race detector
test: test-deps build
	$(GO) test -race -timeout 14m ./...

## check: what continuous integration runs
check: vet tidy-check test

## build: the four programs into bin/
build:
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build $(FLAGS) -ldflags '$(LDFLAGS)' -o bin/ $(BINARIES:%=./cmd/%)

## vet: formatting and suspicious code; compiles as build does, so nothing is compiled twice
vet:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	CGO_ENABLED=0 $(GO) vet $(FLAGS) ./...

## tidy-check: go.mod and go.sum hold what the code imports, no more and no less
tidy-check:
	$(GO) mod tidy -diff

## test-deps: the Debian packages that the tests use; nothing happens when all are there
test-deps:
	@missing=""; \
	for need in $(TEST_NEEDS); do command -v $${need%%:*} >/dev/null 2>&1 || missing="$$missing $${need##*:}"; done; \
	if command -v dpkg-query >/dev/null 2>&1; then \
		for package in $(TEST_MORE); do \
			dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; \
		done; \
	fi; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then \
		echo "Tests that need these Debian packages will be skipped:$$missing"; exit 0; \
	fi; \
	echo "Installing for the tests:$$missing"; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing

## fuzz: search every fuzz target for FUZZTIME
fuzz:
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$package || exit 1; \
		done; \
	done

## soak: lead SEEDS random lives of workers and a collector that are killed, cut off and starved
soak:
	$(GO) test -race -run '^TestLives$$' -timeout 6h ./pkg/fleettest/crash -args -seeds $(SEEDS)

## bench: measure on one core; docs/performance.md explains the figures
bench:
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -cpu 1 ./...

## bench-store: the table of the store in docs/performance.md, beside prometheus/tsdb
bench-store:
	$(GO) test -run '^$$' -bench '^BenchmarkIngest$$' -benchtime 600x -cpu 1 -timeout 1h ./pkg/store
	$(GO) test -run '^$$' -bench '^(BenchmarkSeal|BenchmarkMemory)$$' -benchtime 1x -cpu 1 -timeout 1h ./pkg/store
	$(GO) test -run '^$$' -bench '^BenchmarkRestart$$' -benchtime 5x -cpu 1 -timeout 1h ./pkg/store
	$(GO) test -run '^$$' -bench '^BenchmarkQuery$$' -benchtime 20x -cpu 1 -timeout 1h ./pkg/store
	$(GO) test -run '^$$' -bench '^BenchmarkRollups$$' -benchtime 3x -cpu 1 -timeout 1h ./pkg/store

clean:
	rm -rf bin
