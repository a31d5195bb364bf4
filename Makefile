# The two commands to know are `make demo` and `make test`; `make help` lists all.
SHELL := /bin/bash
# gcc is for the race detector.
PACKAGES := runc qemu-user-static uidmap debootstrap docker.io gcc libc6-dev git chromium $(if $(shell command -v node),,nodejs)
BIN := bin

.PHONY: help setup build demo test lint bench large service native parity release image fuzz clean
help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: ## install the Debian packages that are missing (as root), or name them
	@missing=$$(dpkg-query -W -f '$${Package} $${db:Status-Status}\n' $(PACKAGES) 2>/dev/null | awk '$$2 == "installed" {print $$1}' \
		| sort | comm -13 - <(printf '%s\n' $(PACKAGES) | sort)); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then echo "Install first, as root: apt-get install --no-install-recommends" $$missing; exit 1; fi; \
	apt="apt-get -qq -o Acquire::Retries=5 -o DPkg::Lock::Timeout=600"; \
	$$apt update && DEBIAN_FRONTEND=noninteractive $$apt install -y --no-install-recommends $$missing

build: ## build the static binary bin/mabuild
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o $(BIN)/mabuild ./cmd/mabuild

demo: setup build ## build, push, inspect and run the example for six platforms, on real parts
	go build -o $(BIN)/testbed ./integration/testbed/cmd/testbed
	BIN=$(BIN) integration/demo.sh

test: setup ## run all tests; the integration tests need root
	go test -race -timeout 1h ./...
	cd integration/bench && go test -race -timeout 1h ./...
	cd integration/release && go test -timeout 1h ./...

lint: ## run the linters, of which one also holds the directions of the imports
	cd integration/lint && go build -o ../../$(BIN)/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	$(BIN)/golangci-lint run --allow-serial-runners
	cd integration/lint && go test ./...
	cd integration/release && go build -o ../../$(BIN)/actionlint github.com/rhysd/actionlint/cmd/actionlint
	$(BIN)/actionlint -shellcheck= -pyflakes= $(wildcard .github/workflows/*.yml docs/ci/github*.yml)

bench: setup build ## compare with buildx and buildctl on one BuildKit daemon (as root)
	cd integration/bench && TMPDIR=/dev/shm GOTMPDIR=/tmp go run . -mabuild ../../$(BIN)/mabuild -runs 9
	@echo; echo "make service compares emulated compiling: fifteen minutes a round, RUNS=3 for three"

large: setup build ## measure big contexts and big layers (as root)
	cd integration/bench && go run . -mabuild ../../$(BIN)/mabuild -large

RUNS ?= 1
service: setup build ## compare building examples/go-service, emulated, with buildx (as root)
	cd integration/bench && TMPDIR=/dev/shm GOTMPDIR=/tmp go run . -mabuild ../../$(BIN)/mabuild -service ../../examples/go-service -runs $(RUNS)

native: setup build ## compare emulated steps with and without native tools (as root)
	cd integration/bench && go run . -mabuild ../../$(BIN)/mabuild -native ../../examples -runs $(RUNS)

# What the binary says of itself.
VERSION ?= v0.0.0-dev
DIST := dist

# The same tree and version make the same bytes, the SBOMs' too: they name the tool that wrote
# them by its digest, so that is built by the same rules.
TARGETS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
release: ## build what is released as VERSION into dist/: binaries, SBOMs, checksums
	rm -rf $(DIST) && mkdir $(DIST)
	cd integration/release && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o ../../$(BIN)/cyclonedx-gomod github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
	@set -e; for target in $(TARGETS); do \
		name=$(DIST)/mabuild_$${target/\//_}; \
		case $$target in windows/*) name=$$name.exe;; esac; \
		echo "$$name"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} go build -trimpath -buildvcs=false \
			-ldflags='-s -w -X main.release=$(VERSION)' -o $$name ./cmd/mabuild; \
		$(BIN)/cyclonedx-gomod bin -json -noserial -notimestamp -version $(VERSION) -output $$name.cdx.json $$name; \
	done
	cd $(DIST) && sha256sum mabuild_* > checksums.txt
	awk 'BEGIN {printf "{\n  \"version\": \"$(VERSION)\",\n  \"sha256\": {"} \
		!/json$$/ {printf "%s\n    \"%s\": \"%s\"", comma, $$2, $$1; comma = ","} \
		END {print "\n  }\n}"}' $(DIST)/checksums.txt > $(DIST)/release.json

IMAGE ?= ghcr.io/mabuild/mabuild
image: build ## build mabuild's own image with mabuild; PUSH=--push pushes it
	$(BIN)/mabuild --platform linux/amd64,linux/arm64 -f cmd/mabuild/Dockerfile --build-arg VERSION=$(VERSION) \
		-t $(IMAGE):$(VERSION) $(PUSH) .

parity: setup ## compare every flag with buildx, write docs/parity.md (as root)
	cd integration/bench && go test -count=1 -timeout 20m ./parity -run TestParity -update

fuzz: ## run every fuzz target for 30 s
	@set -e; go list ./... | while read -r pkg; do for f in $$(go test -list '^Fuzz' $$pkg | grep ^Fuzz); do \
		go test -run '^$$' -fuzz "^$$f\$$" -fuzztime 30s $$pkg; done; done

clean: ## delete what was built
	rm -rf $(BIN) $(DIST)
