# The two commands to know are `make demo` and `make test`; `make help` lists all.
SHELL := /bin/bash
# gcc is for the race detector.
PACKAGES := runc qemu-user-static uidmap debootstrap docker.io gcc libc6-dev git chromium
BIN := bin

.PHONY: help setup build demo test lint bench service fuzz clean
help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: ## install the Debian packages that are missing (as root), or name them
	@missing=$$(dpkg-query -W -f '$${Package} $${db:Status-Status}\n' $(PACKAGES) 2>/dev/null | awk '$$2 == "installed" {print $$1}' \
		| sort | comm -13 - <(printf '%s\n' $(PACKAGES) | sort)); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then echo "Install first, as root: apt-get install --no-install-recommends" $$missing; exit 1; fi; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing

build: ## build the static binary bin/mabuild
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o $(BIN)/mabuild ./cmd/mabuild

demo: setup build ## build, push, inspect and run the example for six platforms, on real parts
	go build -o $(BIN)/testbed ./integration/testbed/cmd/testbed
	BIN=$(BIN) integration/demo.sh

test: setup ## run all tests; the integration tests need root
	go test -race -timeout 40m ./...
	cd integration/bench && go test -race ./...

lint: ## run the linter, which also holds the directions of the imports
	cd integration/lint && go build -o ../../$(BIN)/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	$(BIN)/golangci-lint run

bench: setup build ## compare with buildx and buildctl on one BuildKit daemon (as root)
	cd integration/bench && TMPDIR=/dev/shm GOTMPDIR=/tmp go run . -mabuild ../../$(BIN)/mabuild -runs 9
	@echo; echo "make service compares emulated compiling: fifteen minutes a round, RUNS=3 for three"

RUNS ?= 1
service: setup build ## compare building examples/go-service, emulated, with buildx (as root)
	cd integration/bench && TMPDIR=/dev/shm GOTMPDIR=/tmp go run . -mabuild ../../$(BIN)/mabuild -service ../../examples/go-service -runs $(RUNS)

fuzz: ## run every fuzz target for 30 s
	@set -e; go list ./... | while read -r pkg; do for f in $$(go test -list '^Fuzz' $$pkg | grep ^Fuzz); do \
		go test -run '^$$' -fuzz "^$$f\$$" -fuzztime 30s $$pkg; done; done

clean: ## delete what was built
	rm -rf $(BIN)
