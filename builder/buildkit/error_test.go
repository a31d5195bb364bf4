package buildkit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/opencontainers/go-digest"
	"google.golang.org/grpc/codes"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/buildkittest"
)

// failure runs a Solve that fails.
func failure(t *testing.T, run script) *buildkit.Error {
	t.Helper()
	solver, _ := newSolver(t, run, buildkit.Options{})
	images, err := solver.Solve(t.Context(), jobFor(t, "linux/arm64"))
	var e *buildkit.Error
	if !errors.As(err, &e) || images != nil {
		t.Fatalf("images %v, error %v", images, err)
	}
	if e.Platform == nil || e.Platform.Architecture != "arm64" {
		t.Errorf("the error is of %v", e.Platform)
	}
	return e
}

func at(err error, line int32) error {
	return errdefs.WithSource(err, &errdefs.Source{
		Info:   &pb.SourceInfo{Filename: "Dockerfile", Data: []byte(dockerfile)},
		Ranges: []*pb.Range{{Start: &pb.Position{Line: line}, End: &pb.Position{Line: line}}},
	})
}

// output reports what a step writes.
func output(step digest.Digest, text string) *client.SolveStatus {
	return &client.SolveStatus{Logs: []*client.VertexLog{{Vertex: step, Data: []byte(text), Timestamp: time.Unix(1, 0)}}}
}

func vertex(name, failed string) (digest.Digest, *client.SolveStatus) {
	started := time.Now() // what began at another time is another attempt
	v := &client.Vertex{Digest: digest.FromString(name), Name: name, Started: &started, Error: failed}
	if failed != "" {
		completed := started.Add(time.Second)
		v.Completed = &completed
	}
	return v.Digest, &client.SolveStatus{Vertexes: []*client.Vertex{v}}
}

// Case 91: the error has the place and the output of the step that failed.
func TestSolveErrorKnowsTheStep(t *testing.T) {
	text := `process "/bin/sh -c go build" did not complete successfully: exit code: 1`
	e := failure(t, func(_ context.Context, solve *buildkittest.Solve) (map[string]string, error) {
		build, status := vertex("[build 3/3] RUN go build", "")
		solve.Report(status)
		other, status := vertex("[stage-1 1/3] FROM debian", "")
		solve.Report(status)
		for i := range 30 {
			solve.Report(output(build, fmt.Sprintf("line %d\r\n", i)))
		}
		solve.Report(output(other, "of another step\n"))
		solve.Report(output(build, strings.Repeat("x", 5000)+"\nunfin"))
		solve.Report(output(build, "ished"))
		_, status = vertex("[build 3/3] RUN go build", text)
		solve.Report(status)
		_, status = vertex("[stage-1 1/3] FROM debian", "context canceled")
		solve.Report(status)
		return nil, at(errdefs.WrapVertex(errors.New(text), build), 3)
	})
	var log []string
	for i := 12; i < 30; i++ {
		log = append(log, fmt.Sprintf("line %d", i))
	}
	log = append(log, strings.Repeat("x", 4096), "unfinished")
	want := &buildkit.Error{
		Kind: buildkit.BuildFailed, Platform: e.Platform, Step: "[build 3/3] RUN go build", Stage: "build",
		File: "Dockerfile", Line: 3, Log: log, Err: e.Err,
	}
	if diff := cmp.Diff(want, e, cmp.Comparer(func(a, b error) bool { return a.Error() == b.Error() })); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if want := "Dockerfile:3: stage build: " + text; e.Error() != want {
		t.Errorf("error\n%s\nwant\n%s", e, want)
	}
}

// A step that a build without the cache uses at the same time goes by two digests: one
// in what is told of it, the other in its error. One job may hear both.
func TestSolveErrorKnowsTheStepByAnotherDigest(t *testing.T) {
	for name, both := range map[string]bool{"only that": false, "both": true} {
		t.Run(name, func(t *testing.T) {
			solver, server := newSolver(t, func(_ context.Context, solve *buildkittest.Solve) (map[string]string, error) {
				build, status := vertex("[build 3/3] RUN go build", "")
				if both {
					solve.Report(step("[build 3/3] RUN go build"))
				}
				told := buildkit.Uncached(build)
				status.Vertexes[0].Digest = told
				solve.Report(status)
				solve.Report(output(told, "compiling\n"))
				solve.Report(failedWithTools(told))
				return nil, at(errdefs.WrapVertex(errors.New("exit code: 1"), build), 3)
			}, buildkit.Options{})
			_, err := solver.Solve(t.Context(), jobFor(t, "linux/arm64"))
			var e *buildkit.Error
			if !errors.As(err, &e) || e.Step != "[build 3/3] RUN go build" || !slices.Equal(e.Log, []string{"compiling"}) {
				t.Errorf("error %+v", err)
			}
			if got := len(server.Requests()); got != 2 {
				t.Errorf("%d tries, want a second one without tools", got)
			}
		})
	}
}

// Errors of the frontend have a line and no step; of several places the innermost
// counts. What a daemon says without any details is still passed on.
func TestSolveErrorPlaces(t *testing.T) {
	for name, test := range map[string]struct {
		run  script
		want string
		step string
	}{
		"last stage": {
			run: func(context.Context, *buildkittest.Solve) (map[string]string, error) {
				return nil, at(errors.New("dockerfile parse error: unknown instruction: RUNN"), 7)
			},
			want: "Dockerfile:7: stage stage-1: dockerfile parse error: unknown instruction: RUNN",
		},
		"two places": {
			run: func(context.Context, *buildkittest.Solve) (map[string]string, error) {
				return nil, at(at(errors.New("no"), 2), 6)
			},
			want: "Dockerfile:2: stage build: no",
		},
		"before the first stage": {
			run: func(context.Context, *buildkittest.Solve) (map[string]string, error) {
				return nil, at(errors.New("no"), 0)
			},
			want: "no",
		},
		"no details, but a step that failed": {
			run: func(_ context.Context, solve *buildkittest.Solve) (map[string]string, error) {
				_, status := vertex("[2/2] RUN make", "exit code: 2")
				solve.Report(status)
				return nil, errors.New("exit code: 2")
			},
			want: "exit code: 2", step: "[2/2] RUN make",
		},
		"no details": {
			run: func(context.Context, *buildkittest.Solve) (map[string]string, error) {
				return nil, errors.New("something else")
			},
			want: "something else",
		},
		"a code": {
			run: func(context.Context, *buildkittest.Solve) (map[string]string, error) {
				return nil, grpcerrors.WrapCode(errors.New("no such frontend"), codes.InvalidArgument)
			},
			want: "InvalidArgument: no such frontend",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := failure(t, test.run)
			if e.Error() != test.want || e.Step != test.step || e.Kind != buildkit.BuildFailed {
				t.Errorf("error %q at step %q, want %q at step %q", e, e.Step, test.want, test.step)
			}
		})
	}
}

// Case 32.
func TestSolveWhenTheDaemonDies(t *testing.T) {
	var server *buildkittest.Server
	solver, server := newSolver(t, func(ctx context.Context, solve *buildkittest.Solve) (map[string]string, error) {
		build, status := vertex("[build 3/3] RUN go build", "")
		solve.Report(status)
		solve.Report(output(build, "compiling\n"))
		server.Kill()
		<-ctx.Done()
		return nil, ctx.Err()
	}, buildkit.Options{})
	_, err := solver.Solve(t.Context(), jobFor(t, "linux/arm64"))
	var e *buildkit.Error
	if !errors.As(err, &e) || e.Kind != buildkit.NodeLost {
		t.Fatalf("error: %v", err)
	}
	text := e.Error()
	if !strings.HasPrefix(text, "lost the BuildKit daemon during the build: ") || !strings.Contains(text, "Run the build again") || strings.Contains(text, "rpc error") {
		t.Errorf("error: %s", text)
	}
}

func TestDialErrorHasNoPlatform(t *testing.T) {
	_, err := buildkit.Dial(t.Context(), deadPort(t))
	var e *buildkit.Error
	if !errors.As(err, &e) || e.Platform != nil || errors.Unwrap(e) == nil {
		t.Errorf("error: %+v", e)
	}
}
