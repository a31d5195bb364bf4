package builder_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/planner"
)

// solver is a node that runs everything and solves with a function.
type solver func(ctx context.Context, job planner.Job) ([]ocispec.Descriptor, error)

func (f solver) Platforms(context.Context) ([]ocispec.Platform, error) {
	return platforms.ParseAll([]string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x", "linux/riscv64"})
}

func (f solver) Solve(ctx context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
	return f(ctx, job)
}

// publisher notes what it is given.
type publisher struct {
	manifests [][]ocispec.Descriptor
	root      ocispec.Descriptor
	err       error
}

func (p *publisher) Publish(_ context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	p.manifests = append(p.manifests, manifests)
	return p.root, p.err
}

// expand plans a Dockerfile whose jobs run commands on their own platform.
func expand(t testing.TB, names ...string) *planner.Plan {
	t.Helper()
	list, err := planner.ParsePlatforms(names...)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := planner.Expand([]byte("FROM debian\nRUN make\n"), planner.Options{Platforms: list, BuildPlatform: list[0]})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// image is what a job for that platform makes.
func image(platform ocispec.Platform) ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(platforms.FormatAll(platform)), Size: 7, Platform: &platform,
	}
}

func nameOf(job planner.Job) string { return platforms.FormatAll(job.Platform) }

// The jobs end in the opposite order, and the last one makes no image.
func TestBuildKeepsThePlansOrder(t *testing.T) {
	plan := expand(t, "linux/arm64", "linux/amd64", "linux/s390x", "linux/arm/v7")
	ended := make([]chan struct{}, len(plan.Jobs)+1)
	for i := range ended {
		ended[i] = make(chan struct{})
	}
	close(ended[len(plan.Jobs)])
	published := &publisher{root: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Size: 1}}
	result, err := builder.Build(t.Context(), plan, builder.Options{
		Publisher: published,
		Solver: solver(func(_ context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
			i := slices.IndexFunc(plan.Jobs, func(j planner.Job) bool { return nameOf(j) == nameOf(job) })
			<-ended[i+1]
			defer close(ended[i])
			if job.Platform.Architecture == "arm" {
				return nil, nil
			}
			attestation := image(job.Platform)
			attestation.Digest = digest.FromString("about " + nameOf(job))
			return []ocispec.Descriptor{image(job.Platform), attestation}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, desc := range published.manifests[0] {
		got = append(got, desc.Digest.String())
	}
	for _, name := range []string{"linux/arm64", "linux/amd64", "linux/s390x"} {
		want = append(want, digest.FromString(name).String(), digest.FromString("about "+name).String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("published manifests (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(published.root, result.Root); diff != "" {
		t.Errorf("root (-want +got):\n%s", diff)
	}
	for i, job := range result.Jobs {
		if !platforms.OnlyStrict(plan.Jobs[i].Platform).Match(job.Platform) || job.Duration < 0 {
			t.Errorf("result %d is %s's, after %s", i, platforms.Format(job.Platform), job.Duration)
		}
	}
	if len(result.Jobs) != 4 || len(result.Jobs[0].Manifests) != 2 || result.Jobs[3].Manifests != nil {
		t.Errorf("results: %+v", result.Jobs)
	}
}

func TestBuildWithoutPublisher(t *testing.T) {
	plan := expand(t, "linux/amd64")
	result, err := builder.Build(t.Context(), plan, builder.Options{
		Solver: solver(func(_ context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
			return []ocispec.Descriptor{image(job.Platform)}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.Root.Digest != "" || len(result.Jobs[0].Manifests) != 1 {
		t.Errorf("result: %+v", result)
	}
}

func TestBuildRunsSoManyJobsAtOnce(t *testing.T) {
	names := []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x", "linux/riscv64"}
	for _, test := range []struct{ jobs, want int }{{0, 5}, {1, 1}, {2, 2}, {5, 5}, {9, 5}} {
		t.Run(fmt.Sprint(test.jobs), func(t *testing.T) {
			started, release := make(chan struct{}), make(chan struct{})
			var running, most atomic.Int32
			built := make(chan error)
			go func() {
				_, err := builder.Build(t.Context(), expand(t, names...), builder.Options{
					Jobs: test.jobs,
					Solver: solver(func(context.Context, planner.Job) ([]ocispec.Descriptor, error) {
						now := running.Add(1)
						defer running.Add(-1)
						for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
						}
						started <- struct{}{}
						<-release
						return nil, nil
					}),
				})
				built <- err
			}()
			// As many as may run do run, although none has ended.
			for range test.want {
				<-started
			}
			// Each that ends lets one more begin.
			for range len(names) - test.want {
				release <- struct{}{}
				<-started
			}
			close(release)
			if err := <-built; err != nil {
				t.Fatal(err)
			}
			if got := int(most.Load()); got != test.want {
				t.Errorf("%d jobs ran at once, want %d", got, test.want)
			}
		})
	}
}

// Each way in which the jobs beside a failed one end. Case 33: the error is that
// of the job that failed, and nothing is published.
func TestBuildReturnsTheFirstFailure(t *testing.T) {
	for name, sibling := range map[string]func(ctx context.Context) error{
		"cause":             context.Cause,
		"context canceled":  func(ctx context.Context) error { return ctx.Err() },
		"daemon's text":     func(context.Context) error { return errors.New("failed to solve: Canceled: context canceled") },
		"failure of itself": func(context.Context) error { return errors.New("exit code: 2") },
		"success":           func(context.Context) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			failure := errors.New("exit code: 1")
			for range 50 { // who returns first is up to the scheduler
				var others sync.WaitGroup
				others.Add(2)
				published := &publisher{}
				result, err := builder.Build(t.Context(), expand(t, "linux/amd64", "linux/arm64", "linux/s390x"), builder.Options{
					Publisher: published,
					Solver: solver(func(ctx context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
						if job.Platform.Architecture == "s390x" {
							others.Wait()
							return nil, failure
						}
						others.Done()
						<-ctx.Done()
						return nil, sibling(ctx)
					}),
				})
				var job *builder.JobError
				if !errors.As(err, &job) || job.Err != failure || job.Platform.Architecture != "s390x" {
					t.Fatalf("error: %v", err)
				}
				if want := "linux/s390x: exit code: 1"; err.Error() != want {
					t.Errorf("error %q, want %q", err, want)
				}
				if result != nil || len(published.manifests) > 0 {
					t.Errorf("result %v, published %v", result, published.manifests)
				}
			}
		})
	}
}

func TestBuildStartsNoJobAfterAFailure(t *testing.T) {
	var solved []string
	_, err := builder.Build(t.Context(), expand(t, "linux/amd64", "linux/arm64", "linux/s390x"), builder.Options{
		Jobs: 1,
		Solver: solver(func(_ context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
			solved = append(solved, nameOf(job))
			return nil, errors.New("no")
		}),
	})
	if want := "linux/amd64: no"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if diff := cmp.Diff([]string{"linux/amd64"}, solved); diff != "" {
		t.Errorf("solved (-want +got):\n%s", diff)
	}
}

func TestBuildReturnsWhyItWasInterrupted(t *testing.T) {
	interrupt := errors.New("interrupted")
	failure := errors.New("exit code: 1")
	for name, test := range map[string]struct {
		// fails is whether a job fails before the interrupt.
		fails bool
		ended func(ctx context.Context) error
		want  string
	}{
		"jobs return the cause":   {ended: context.Cause, want: "interrupted"},
		"jobs return the error":   {ended: func(ctx context.Context) error { return ctx.Err() }, want: "interrupted"},
		"jobs end well":           {ended: func(context.Context) error { return nil }, want: "interrupted"},
		"after another job fails": {fails: true, ended: context.Cause, want: "linux/amd64: exit code: 1"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			published := &publisher{}
			_, err := builder.Build(ctx, expand(t, "linux/amd64", "linux/arm64"), builder.Options{
				Publisher: published,
				Solver: solver(func(ctx context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
					if job.Platform.Architecture == "amd64" && test.fails {
						return nil, failure
					}
					if job.Platform.Architecture == "arm64" {
						if test.fails {
							<-ctx.Done()
						}
						cancel(interrupt)
					}
					<-ctx.Done()
					return nil, test.ended(ctx)
				}),
			})
			if err == nil || err.Error() != test.want {
				t.Errorf("error %v, want %s", err, test.want)
			}
			if len(published.manifests) > 0 {
				t.Errorf("published %v", published.manifests)
			}
		})
	}
}

func TestBuildPassesThePublishersErrorOn(t *testing.T) {
	refused := errors.New("403 Forbidden")
	interrupt := errors.New("interrupted")
	for name, test := range map[string]struct {
		publish func(cancel context.CancelCauseFunc) error
		want    string
		is      []error
	}{
		"refused": {
			publish: func(context.CancelCauseFunc) error { return refused }, want: "403 Forbidden", is: []error{refused},
		},
		"interrupted": {
			publish: func(cancel context.CancelCauseFunc) error {
				cancel(interrupt)
				return fmt.Errorf("written: a, not written: b: %w", context.Canceled)
			},
			want: "interrupted: written: a, not written: b: context canceled", is: []error{interrupt, context.Canceled},
		},
		"interrupted, as its cause": {
			publish: func(cancel context.CancelCauseFunc) error { cancel(interrupt); return interrupt },
			want:    "interrupted", is: []error{interrupt},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			result, err := builder.Build(ctx, expand(t, "linux/amd64"), builder.Options{
				Publisher: publishFunc(func() error { return test.publish(cancel) }),
				Solver: solver(func(_ context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
					return []ocispec.Descriptor{image(job.Platform)}, nil
				}),
			})
			if err == nil || err.Error() != test.want || result != nil {
				t.Fatalf("result %v, error %v, want %s", result, err, test.want)
			}
			for _, want := range test.is {
				if !errors.Is(err, want) {
					t.Errorf("the error is not %v", want)
				}
			}
		})
	}
}

type publishFunc func() error

func (f publishFunc) Publish(context.Context, []ocispec.Descriptor) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, f()
}

// TestBuildCheck: what Check says ends the build before anything runs, and after the
// emulation was looked at.
func TestBuildCheck(t *testing.T) {
	refused := errors.New("a base lacks the platform")
	plan, err := planner.Expand([]byte("FROM scratch\n"), planner.Options{})
	if err != nil {
		t.Fatal(err)
	}
	solver := solverFunc(func(context.Context, planner.Job) ([]ocispec.Descriptor, error) {
		t.Error("a job was solved")
		return nil, nil
	})
	_, err = builder.Build(t.Context(), plan, builder.Options{
		Solver: solver, Check: func(context.Context) error { return refused },
	})
	if !errors.Is(err, refused) {
		t.Errorf("got %v, want the check's error", err)
	}
}

// solverFunc is a solver that runs everything.
type solverFunc func(context.Context, planner.Job) ([]ocispec.Descriptor, error)

func (solverFunc) Platforms(context.Context) ([]ocispec.Platform, error) { return nil, nil }

func (f solverFunc) Solve(ctx context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
	return f(ctx, job)
}

// TestVerify holds that all results are looked at, and that nothing is published if
// one of them is wrong.
func TestVerify(t *testing.T) {
	plan := expand(t, "linux/amd64,linux/arm64,linux/s390x")
	published := &publisher{}
	result, err := builder.Build(t.Context(), plan, builder.Options{
		Publisher: published,
		Solver: solver(func(_ context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
			return []ocispec.Descriptor{image(job.Platform)}, nil
		}),
		Verify: func(_ context.Context, job planner.Job, manifests []ocispec.Descriptor) error {
			if len(manifests) != 1 || manifests[0].Platform.Architecture != job.Platform.Architecture {
				t.Errorf("%v for %v", manifests, job.Platform)
			}
			if job.Platform.Architecture == "amd64" {
				return nil
			}
			return fmt.Errorf("%s is wrong", job.Platform.Architecture)
		},
	})
	if result != nil || err == nil || err.Error() != "arm64 is wrong\ns390x is wrong" {
		t.Errorf("%+v, error %v", result, err)
	}
	if len(published.manifests) > 0 {
		t.Error("a wrong image was published")
	}
}
