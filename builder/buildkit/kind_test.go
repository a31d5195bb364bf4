package buildkit_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/opencontainers/go-digest"
	"google.golang.org/grpc/codes"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/buildkittest"
)

// kinds are texts as daemons send them, and what the user is told to do.
var kinds = []struct {
	name, text string
	kind       buildkit.Kind
	hint       string // part of it; empty for none
}{
	// Registries.
	{
		"pull denied",
		"corp/base: failed to resolve source metadata for docker.io/corp/base:latest: pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
		buildkit.RegistryFailed, "docker login",
	},
	{
		"push 401",
		"failed to push ghcr.io/me/app: unexpected status from POST request to https://ghcr.io/v2/me/app/blobs/uploads/: 401 Unauthorized",
		buildkit.RegistryFailed, "docker login",
	},
	{
		"push 403",
		"failed to push registry.example.com/app: failed to authorize: failed to fetch oauth token: unexpected status from POST request to https://auth.example.com/token: 403 Forbidden",
		buildkit.RegistryFailed, "docker login",
	},
	{
		"token server refuses",
		"failed to resolve source metadata for ghcr.io/me/base:1: failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://ghcr.io/token?scope=repository%3Ame%2Fbase%3Apull&service=ghcr.io: 403 Forbidden",
		buildkit.RegistryFailed, "docker login",
	},
	{
		"token server not found",
		`failed to resolve source metadata for docker.io/library/debian:13: failed to authorize: failed to fetch anonymous token: Get "https://auth.docker.io/token?scope=repository%3Alibrary%2Fdebian%3Apull&service=registry.docker.io": dial tcp: lookup auth.docker.io: no such host`,
		buildkit.RegistryFailed, "can be reached",
	},
	{
		"registry down",
		`localhost:5000/base: failed to resolve source metadata for localhost:5000/base:latest: failed to do request: Head "http://localhost:5000/v2/base/manifests/latest": dial tcp 127.0.0.1:5000: connect: connection refused`,
		buildkit.RegistryFailed, "can be reached",
	},
	{
		"registry cuts the connection",
		`failed to copy: httpReadSeeker: failed open: failed to do request: Get "https://registry.example.com/v2/base/blobs/sha256:5f70": read tcp 10.0.0.2:4312->10.0.0.3:443: read: connection reset by peer`,
		buildkit.RegistryFailed, "can be reached",
	},
	{
		"no such tag",
		"debian:13.99: failed to resolve source metadata for docker.io/library/debian:13.99: docker.io/library/debian:13.99: not found",
		buildkit.RegistryFailed, "name and tag",
	},
	{
		"no such digest, with 401 in it",
		"failed to resolve source metadata for docker.io/library/debian@sha256:0403401500429: docker.io/library/debian@sha256:0403401500429: not found",
		buildkit.RegistryFailed, "name and tag",
	},
	{
		"plain HTTP, case 80",
		`failed to resolve source metadata for registry.lan:5000/base:latest: failed to do request: Head "https://registry.lan:5000/v2/base/manifests/latest": http: server gave HTTP response to HTTPS client`,
		buildkit.RegistryFailed, "http = true",
	},
	{
		"own certificate, case 80",
		`failed to push registry.lan/app: failed to do request: Head "https://registry.lan/v2/app/blobs/sha256:5f70": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
		buildkit.RegistryFailed, "ca = [",
	},
	{
		"rate limit, case 75",
		"failed to resolve source metadata for docker.io/library/debian:13: unexpected status from HEAD request to https://registry-1.docker.io/v2/library/debian/manifests/13: 429 Too Many Requests\ntoomanyrequests: You have reached your unauthenticated pull rate limit.",
		buildkit.RegistryFailed, "limits requests",
	},
	{
		"registry in trouble, case 76",
		"failed to push registry.example.com/app: unexpected status from PUT request to https://registry.example.com/v2/app/blobs/uploads/1: 502 Bad Gateway",
		buildkit.RegistryFailed, "in trouble",
	},
	{
		"unknown refusal",
		"failed to push registry.example.com/app: unexpected status from PUT request to https://registry.example.com/v2/app/blobs/uploads/1: 418 I'm a teapot",
		buildkit.RegistryFailed, "run the build again",
	},
	// The image is there, but not for the platform: no login helps.
	{
		"no such platform, case 11",
		"failed to resolve source metadata for docker.io/library/base:1: no match for platform in manifest: not found",
		buildkit.BuildFailed, "another image",
	},
	// Disks.
	{
		"disk full, case 50",
		"failed to copy: failed to send write: write /var/lib/buildkit/ingest/data: no space left on device: unknown",
		buildkit.NodeFull, "engine prune",
	},
	{
		"disk full in a step",
		`process "/bin/sh -c make" did not complete successfully: failed to create rootfs: mkdir /var/lib/buildkit/executor: no space left on device`,
		buildkit.NodeFull, "--jobs 1",
	},
	// Daemons.
	{"daemon ends", "Unavailable: server is shutting down", buildkit.NodeLost, "Run the build again"},
	{"connection breaks", "error reading from server: read unix @->/run/buildkitd.sock: read: connection reset by peer", buildkit.NodeLost, "Run the build again"},
	{"session lost", "failed to read dockerfile: no active session for zb2c: context deadline exceeded", buildkit.NodeLost, "Run the build again"},
	// Steps, whatever they are about.
	{"step", `process "/bin/sh -c make" did not complete successfully: exit code: 2`, buildkit.BuildFailed, ""},
	{
		"step that speaks of registries",
		`process "/bin/sh -c test \"$e\" = \"pull access denied\" || echo no space left on device, failed to push x" did not complete successfully: exit code: 1`,
		buildkit.BuildFailed, "",
	},
	{"missing file", `failed to calculate checksum of ref zb2c::x9: "/app": not found`, buildkit.BuildFailed, ""},
}

func TestSolveErrorKinds(t *testing.T) {
	for _, test := range kinds {
		t.Run(test.name, func(t *testing.T) {
			e := failure(t, func(context.Context, *buildkittest.Solve) (map[string]string, error) {
				return nil, errors.New(test.text)
			})
			if e.Kind != test.kind {
				t.Errorf("kind %d, want %d", e.Kind, test.kind)
			}
			if !strings.Contains(e.Hint, test.hint) || (e.Hint == "") != (test.hint == "") {
				t.Errorf("hint %q, want one with %q", e.Hint, test.hint)
			}
			if !strings.Contains(e.Error(), strings.TrimPrefix(test.text, "Unavailable: ")) {
				t.Errorf("the error hides the daemon's text: %v", e)
			}
		})
	}
}

// The code Unavailable is of a daemon only when no step is named.
func TestSolveErrorUnavailable(t *testing.T) {
	gone := grpcerrors.WrapCode(errors.New("upstream: connection reset by peer"), codes.Unavailable)
	for name, test := range map[string]struct {
		err  error
		kind buildkit.Kind
	}{
		"daemon": {gone, buildkit.NodeLost},
		"step":   {errdefs.WrapVertex(gone, digest.FromString("ADD https://example.com/file /")), buildkit.BuildFailed},
	} {
		t.Run(name, func(t *testing.T) {
			e := failure(t, func(context.Context, *buildkittest.Solve) (map[string]string, error) { return nil, test.err })
			if e.Kind != test.kind {
				t.Errorf("kind %d, want %d: %v", e.Kind, test.kind, e)
			}
		})
	}
}
