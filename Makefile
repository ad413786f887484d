# Everything a newcomer needs is two commands: make run and make test.
# The rest is for those who change the code or measure it.

GO        ?= go
BINARIES  := collectord workerd coordinatord cloudlessctl
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS   := -s -w -X $(shell sed -n 's/^module //p' go.mod)/pkg/daemon.version=$(VERSION)
FUZZTIME  ?= 20s
BENCHTIME ?= 1s

# What the tests use, as Debian packages; installed by `make test-deps` when
# root and missing. gcc and libc6-dev serve the race detector.
TEST_COMMANDS := ip python3 gcc
TEST_PACKAGES := iproute2 python3 python3-jsonpickle gcc libc6-dev

.PHONY: run test check build vet race fuzz bench clean test-deps tidy-check

## run: build, then start a whole fleet on this machine with throw-away state (Ctrl-C ends it)
run: build
	@exec bin/cloudlessctl demo

## test: install what the tests need (when root) and run every test with the race detector
test: test-deps build
	$(GO) test -race -timeout 14m ./...

## check: what continuous integration runs
check: vet tidy-check test fuzz-seeds

## build: the four binaries into bin/
build:
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ $(BINARIES:%=./cmd/%)

vet:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt these files:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...

## tidy-check: go.mod and go.sum say what the code imports
tidy-check:
	$(GO) mod tidy -diff

clean:
	rm -rf bin
