package buildkit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/buildkittest"
	"github.com/mabuild/mabuild/emulation/dispatch"
)

// crossDockerfile has a stage on the build platform, from line 1, and one on the
// target's, from line 4.
const crossDockerfile = `FROM --platform=$BUILDPLATFORM golang AS build
RUN go build

FROM debian
COPY --from=build /app /app
RUN ldconfig
`

// exit is a RUN that ends with a code, after it has printed something.
func exit(line int32, code uint32, log string) script {
	return failing(line, log, func(text string) error {
		return &gatewaypb.ExitError{ExitCode: code, Err: fmt.Errorf("%s: exit code: %d", text, code)}
	})
}

// failing is a RUN at a line that prints something and fails.
func failing(line int32, log string, failure func(text string) error) script {
	return func(_ context.Context, solve *buildkittest.Solve) (map[string]string, error) {
		step, status := vertex(fmt.Sprintf("RUN at line %d", line), "")
		solve.Report(status)
		if log != "" {
			solve.Report(output(step, log+"\n"))
		}
		text := `process "/bin/sh -c ldconfig || echo exec format error, no such file or directory" did not complete successfully`
		return nil, at(errdefs.WrapVertex(failure(text), step), line)
	}
}

func kernelSays(reason string) func(string) error {
	return func(text string) error { return errors.New(text + ": " + reason) }
}

// Cases 17 and 26: what fails because it is emulated, or is not, is told from what
// fails by itself. The node is amd64 and says that it runs 386 and arm64.
func TestSolveErrorsOfEmulation(t *testing.T) {
	const qemuLog = "qemu: uncaught target signal 11 (Segmentation fault) - core dumped"
	for name, test := range map[string]struct {
		platform string
		run      script
		kind     buildkit.Kind
		want     string // part of the error
	}{
		"SIGSEGV":               {"linux/arm64", exit(6, 139, ""), buildkit.EmulatorCrashed, "qemu-aarch64 9.2, exit code 139 is SIGSEGV"},
		"SIGILL":                {"linux/arm64", exit(6, 132, ""), buildkit.EmulatorCrashed, "exit code 132 is SIGILL"},
		"SIGABRT":               {"linux/arm64", exit(6, 134, ""), buildkit.EmulatorCrashed, "exit code 134 is SIGABRT"},
		"SIGBUS":                {"linux/arm64", exit(6, 135, ""), buildkit.EmulatorCrashed, "exit code 135 is SIGBUS"},
		"QEMU says so":          {"linux/arm64", exit(6, 1, "Setting up libc-bin\n"+qemuLog), buildkit.EmulatorCrashed, qemuLog},
		"emulator not known":    {"linux/s390x", exit(6, 139, ""), buildkit.EmulatorCrashed, "QEMU of unknown version"},
		"SIGKILL":               {"linux/arm64", exit(6, 137, ""), buildkit.BuildFailed, "exit code: 137"},
		"plain failure":         {"linux/arm64", exit(6, 1, "no such package"), buildkit.BuildFailed, "exit code: 1"},
		"native":                {"linux/amd64", exit(6, 139, ""), buildkit.BuildFailed, "exit code: 139"},
		"native, says QEMU":     {"linux/amd64", exit(6, 1, qemuLog), buildkit.BuildFailed, "exit code: 1"},
		"stage that is native":  {"linux/arm64", exit(2, 139, ""), buildkit.BuildFailed, "exit code: 139"},
		"386 on amd64":          {"linux/386", exit(6, 139, ""), buildkit.BuildFailed, "exit code: 139"},
		"wrong format":          {"linux/s390x", failing(6, "", kernelSays("exec /bin/sh: exec format error")), buildkit.EmulationMissing, "linux/s390x cannot be run here"},
		"wrong format, printed": {"linux/arm64", exit(6, 126, "/bin/sh: ldconfig: Exec format error"), buildkit.EmulationMissing, "linux/arm64 cannot be run here"},
		"no file, not listed":   {"linux/s390x", failing(6, "", kernelSays("exec /app: no such file or directory")), buildkit.EmulationMissing, "linux/s390x cannot be run here"},
		"no file, listed":       {"linux/arm64", failing(6, "", kernelSays("exec /app: no such file or directory")), buildkit.BuildFailed, "no such file"},
		"words of the command":  {"linux/s390x", exit(6, 1, ""), buildkit.BuildFailed, "exit code: 1"},
		"disk":                  {"linux/arm64", failing(6, qemuLog, kernelSays("no space left on device")), buildkit.NodeFull, "no space left"},
	} {
		t.Run(name, func(t *testing.T) {
			solver, _ := newSolverOn(t,
				buildkittest.Options{Solve: test.run, Platforms: []ocispec.Platform{
					platforms.MustParse("linux/amd64"), platforms.MustParse("linux/386"), platforms.MustParse("linux/arm64"),
				}},
				buildkit.Options{Emulator: func(platform ocispec.Platform) string {
					if platform.Architecture == "arm64" {
						return "qemu-aarch64 9.2"
					}
					return ""
				}})
			_, err := solver.Solve(t.Context(), jobOf(t, crossDockerfile, test.platform))
			var e *buildkit.Error
			if !errors.As(err, &e) || e.Kind != test.kind {
				t.Fatalf("error %+v, want kind %d", e, test.kind)
			}
			if !strings.Contains(e.Err.Error(), test.want) {
				t.Errorf("error %q, want one with %q", e.Err, test.want)
			}
			if hinted := e.Kind != buildkit.BuildFailed; hinted != (e.Hint != "") {
				t.Errorf("hint %q", e.Hint)
			}
		})
	}
}

// Case 26: a crash is tried again if the user wants that, and nothing else is.
func TestSolveTriesAgainWhenTheEmulatorCrashed(t *testing.T) {
	for name, test := range map[string]struct {
		retry   int
		crashes int32
		code    uint32
		tries   int
		fails   bool
	}{
		"not wanted":        {retry: 0, crashes: 1, code: 139, tries: 1, fails: true},
		"helps":             {retry: 2, crashes: 2, code: 139, tries: 3},
		"does not help":     {retry: 2, crashes: 9, code: 139, tries: 3, fails: true},
		"not needed":        {retry: 2, tries: 1},
		"not for a failure": {retry: 2, crashes: 1, code: 1, tries: 1, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			var heard events
			var tries atomic.Int32
			solver, server := newSolver(t, func(ctx context.Context, solve *buildkittest.Solve) (map[string]string, error) {
				if tries.Add(1) <= test.crashes {
					return exit(6, test.code, "")(ctx, solve)
				}
				return buildkittest.Image(manifest(nil)), nil
			}, buildkit.Options{RetryEmulated: test.retry, Report: heard.report})
			images, err := solver.Solve(t.Context(), jobOf(t, crossDockerfile, "linux/arm64"))
			if (err != nil) != test.fails || len(images) > 0 == test.fails {
				t.Errorf("images %v, error %v", images, err)
			}
			if got := len(server.Requests()); got != test.tries {
				t.Errorf("%d tries, want %d", got, test.tries)
			}
			if end := slices.Index(heard.list, "linux/arm64 ends"); end != len(heard.list)-1 {
				t.Errorf("reports: %q", heard.list)
			}
		})
	}
}

// failedWithTools is what the engine says of such a step.
func failedWithTools(step digest.Digest) *client.SolveStatus {
	return &client.SolveStatus{Statuses: []*client.VertexStatus{
		{ID: dispatch.StepStatus + "1", Vertex: step, Name: `{"wall":1,"hits":3,"failed":true}`},
	}}
}

// TestSolveWithoutToolsThatFailed: a step that failed with native tools of the engine
// is run once more, in which the engine leaves them away; what it then does counts.
func TestSolveWithoutToolsThatFailed(t *testing.T) {
	withTools := func(ctx context.Context, solve *buildkittest.Solve) (map[string]string, error) {
		step, _ := vertex("RUN at line 6", "")
		solve.Report(failedWithTools(step))
		return exit(6, 1, "internal compiler error")(ctx, solve)
	}
	succeeds := func(context.Context, *buildkittest.Solve) (map[string]string, error) {
		return buildkittest.Image(manifest(nil)), nil
	}
	for name, test := range map[string]struct {
		runs []script
		log  string // of the error, if there is one
	}{
		"helps":            {runs: []script{withTools, succeeds}},
		"does not help":    {[]script{withTools, exit(6, 1, "no such file")}, "no such file"},
		"never twice":      {[]script{withTools, withTools}, "internal compiler error"},
		"without anything": {[]script{exit(6, 1, "no such file")}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			solver, server := newSolver(t, inTurn(test.runs), buildkit.Options{})
			_, err := solver.Solve(t.Context(), jobOf(t, crossDockerfile, "linux/arm64"))
			var failed *buildkit.Error
			switch {
			case test.log == "" && err != nil:
				t.Error(err)
			case test.log != "" && (!errors.As(err, &failed) || !slices.Equal(failed.Log, []string{test.log})):
				t.Errorf("error %v, want one with the output %q", err, test.log)
			}
			if got := len(server.Requests()); got != len(test.runs) {
				t.Errorf("%d tries, want %d", got, len(test.runs))
			}
		})
	}
}
