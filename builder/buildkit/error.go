package buildkit

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/util/grpcerrors"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc/codes"

	"github.com/mabuild/mabuild/planner"
)

// Kind says whose fault an [Error] is.
type Kind int

// Kinds of failure.
const (
	BuildFailed      Kind = iota // a step or the Dockerfile
	NodeLost                     // the daemon or the way to it
	RegistryFailed               // a registry that a base comes from or an image goes to
	NodeFull                     // the daemon's disk
	EmulatorCrashed              // QEMU, in a step of a foreign platform
	EmulationMissing             // programs of a foreign platform could not be run
)

// Error is a job that did not succeed, or a daemon that does not answer.
type Error struct {
	Kind     Kind
	Platform *ocispec.Platform // nil when no job is concerned
	Step     string            // BuildKit's name of the step, may be empty
	Stage    string            // name or number of the stage, may be empty
	File     string            // the Dockerfile, as Line counts in it
	Line     int               // 0 is unknown
	Log      []string          // the last lines that the step wrote
	Hint     string
	Err      error

	attempt  attempt // that failed, zero if that is not known
	assisted bool    // the step had native tools of the engine
}

// Error is one line, or two with a hint. The platform is for builder.JobError to
// tell, the log for the caller.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "%s:%d: ", e.File, e.Line)
	}
	if e.Stage != "" {
		fmt.Fprintf(&b, "stage %s: ", e.Stage)
	}
	b.WriteString(e.Err.Error())
	if e.Hint != "" {
		b.WriteString("\n")
		b.WriteString(e.Hint)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

func unreachable(address string, err error) error {
	return &Error{
		Kind: NodeLost, Err: fmt.Errorf("connecting to the BuildKit daemon at %s: %w", address, shorten(err)),
		Hint: "Check the address (unix:///PATH, tcp://HOST:PORT, …) and that the daemon runs, or leave --node (and BUILDKIT_HOST) away to use the engine that mabuild carries.",
	}
}

// explain turns what a Solve returned into an [*Error].
func explain(err error, job planner.Job, file string, steps *steps) *Error {
	e := &Error{Platform: &job.Platform, File: file, Err: shorten(err)}
	for _, source := range errdefs.Sources(err) {
		if len(source.Ranges) > 0 && source.Ranges[0].Start != nil {
			e.Line = int(source.Ranges[0].Start.Line)
			if source.Info != nil && source.Info.Filename != "" {
				e.File = source.Info.Filename
			}
		}
	}
	failed := steps.failed
	if vertex := (*errdefs.VertexError)(nil); errors.As(err, &vertex) {
		failed = digest.Digest(vertex.Digest)
		// An error has the step's own digest even where statuses have the other one
		// (solver/jobs.go, origDigest).
		if _, told := steps.names[Uncached(failed)]; told {
			failed = Uncached(failed)
		}
	}
	e.Step = steps.names[failed]
	e.Log = steps.logs[failed].all()
	e.attempt = attempt{step: failed, started: steps.started[failed]}
	e.assisted = steps.assisted[failed]
	if stage, ok := stageAt(job, e.Line); ok {
		e.Stage = stage.Name
	}
	classify(e, err)
	return e
}

// stageAt returns the stage that a line of the Dockerfile belongs to, none for line 0.
func stageAt(job planner.Job, line int) (found planner.Stage, ok bool) {
	for _, stage := range job.Stages {
		if line > 0 && stage.Line <= line {
			found, ok = stage, true
		}
	}
	return found, ok
}

// Texts of a daemon that lost its connection or ended; grpc has codes for the
// first cases only.
var lostTexts = []string{
	"error reading from server: EOF", "transport is closing", "connection reset by peer",
	"keepalive ping failed", "server is shutting down", "the connection is draining",
}

// noSession is BuildKit's text when it cannot ask the client any more. It may be
// tied to a step, that of the local source.
const noSession = "no active session"

// Texts of a registry that refused or did not answer, as containerd's resolver
// and BuildKit's exporter and source write them.
var registryTexts = []string{
	"failed to push ", "failed to resolve source metadata for ", "failed to authorize",
	"failed to fetch anonymous token", "failed to fetch oauth token", "unexpected status from ",
	"failed to copy: ", "pull access denied", "insufficient_scope",
}

// commandText is the command line of a failed RUN, which may contain anything.
var commandText = regexp.MustCompile(`process "(?:[^"\\]|\\.)*" did not`)

func classify(e *Error, err error) {
	text := commandText.ReplaceAllString(err.Error(), "process did not")
	switch code := grpcerrors.Code(err); {
	case strings.Contains(text, "no space left on device"):
		e.Kind = NodeFull
		e.Hint = "The daemon's disk is full: run `mabuild engine prune`, or build fewer platforms at once with --jobs 1."
	case strings.Contains(strings.ToLower(strings.Join(e.Log, "\n")), "no space left on device"):
		e.Hint = "If it is the daemon's disk that is full: run `mabuild engine prune`, or build fewer platforms at once with --jobs 1."
	case isLockedText(text): // its code is Unavailable too
		e.Hint = "Another build is fetching the same layer. Run the build again."
	case strings.Contains(text, "no match for platform in manifest"):
		e.Hint = "The image is not made for this platform: use another image, or leave the platform away."
	case containsAny(text, registryTexts):
		e.Kind = RegistryFailed
		e.Hint = registryHint(text)
	case !isStepError(err) && (code == codes.Unavailable || containsAny(text, lostTexts)), strings.Contains(text, noSession):
		e.Kind = NodeLost
		e.Err = fmt.Errorf("lost the BuildKit daemon during the build: %w", e.Err)
		e.Hint = "Nothing was tagged. Run the build again: finished steps are kept. `mabuild engine logs` may tell why it ended."
	}
}

// isStepError reports whether the daemon tied the error to a step, which a daemon
// that went away cannot do.
func isStepError(err error) bool {
	var vertex *errdefs.VertexError
	return errors.As(err, &vertex)
}

// registryHints are tried in order: a token server that cannot be reached has the
// texts of a refused login as well.
var registryHints = []struct {
	texts []string
	hint  string
}{
	{
		[]string{"server gave HTTP response to HTTPS client"},
		"The registry speaks plain HTTP: allow it with `[registry.\"HOST\"] http = true` in a file given by --engine-config.",
	},
	{
		[]string{"x509:"},
		"Trust the registry's certificate with `[registry.\"HOST\"] ca = [\"FILE\"]` in a file given by --engine-config.",
	},
	{
		[]string{
			"connection refused", "no such host", "i/o timeout", "network is unreachable", "no route to host",
			"connection reset by peer", "TLS handshake timeout", "server misbehaving",
		},
		"Check the registry's name and that it can be reached from where BuildKit runs.",
	},
	{
		[]string{"429 Too Many Requests", "toomanyrequests"},
		"The registry limits requests: log in with `docker login REGISTRY`, which raises the limit, or run the build again later.",
	},
	{
		[]string{"500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"},
		"The registry is in trouble. Run the build again later: finished steps are kept.",
	},
	{
		[]string{"401 Unauthorized", "403 Forbidden", "unauthorized", "denied", "failed to authorize", "insufficient_scope"},
		"Log in with `docker login REGISTRY` (mabuild reads ~/.docker/config.json), and check the name.",
	},
	{
		[]string{"not found", "404 Not Found"},
		"Check the image's name and tag.",
	},
}

func registryHint(text string) string {
	for _, known := range registryHints {
		if containsAny(text, known.texts) {
			return known.hint
		}
	}
	return "Check the name and the registry, and run the build again: finished steps are kept."
}

// shorten takes the layers of wrapping off that say nothing to a user.
func shorten(err error) error {
	text := err.Error()
	for _, prefix := range []string{
		"failed to solve: ", "failed to receive status: ", "failed to get status: ", "failed to list workers: ",
		"rpc error: code = Unknown desc = ", "rpc error: code = Unavailable desc = ", "Unavailable: ",
	} {
		text = strings.TrimPrefix(text, prefix)
	}
	if text == err.Error() {
		return err
	}
	return &shortError{text: text, err: err}
}

type shortError struct {
	text string
	err  error
}

func (e *shortError) Error() string { return e.text }
func (e *shortError) Unwrap() error { return e.err }

// isLockedText recognises the loser of two Solves that fetch the same blob.
func isLockedText(text string) bool {
	return strings.Contains(text, " locked for ") && strings.Contains(text, "unavailable")
}

func containsAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}
