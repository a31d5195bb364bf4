package builder_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/planner"
)

// failingFor is a node on which the jobs of some platforms fail.
func failingFor(names ...string) solver {
	return func(ctx context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
		for _, name := range names {
			if nameOf(job) == name {
				return nil, errors.New("exit code 1")
			}
		}
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return []ocispec.Descriptor{image(job.Platform)}, nil
	}
}

// Case 33: all failures are told in the plan's order, and nothing is published.
func TestKeepGoing(t *testing.T) {
	plan := expand(t, "linux/amd64", "linux/arm64", "linux/s390x", "linux/riscv64")
	published := &publisher{}
	_, err := builder.Build(t.Context(), plan, builder.Options{
		Solver: failingFor("linux/riscv64", "linux/arm64"), Publisher: published, KeepGoing: true,
	})
	want := "linux/arm64: exit code 1\nlinux/riscv64: exit code 1"
	if err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if published.manifests != nil {
		t.Errorf("published %v", published.manifests)
	}
}

// Case 33: the result goes without a platform that may be missing, but not without
// all of them, nor without another one.
func TestAllowMissing(t *testing.T) {
	missing := func(p ocispec.Platform) bool { return p.Architecture != "amd64" }
	for failing, want := range map[string]string{
		"linux/arm64":             "amd64 s390x",
		"linux/arm64 linux/s390x": "amd64",
		"linux/amd64":             "error linux/amd64: exit code 1",
	} {
		t.Run(failing, func(t *testing.T) {
			plan := expand(t, "linux/amd64", "linux/arm64", "linux/s390x")
			published := &publisher{}
			result, err := builder.Build(t.Context(), plan, builder.Options{
				Solver: failingFor(strings.Fields(failing)...), Publisher: published, AllowMissing: missing,
			})
			var got []string
			if err != nil {
				got = append(got, "error", err.Error())
			} else {
				for _, m := range published.manifests[0] {
					got = append(got, m.Platform.Architecture)
				}
				for _, job := range result.Jobs {
					if (job.Err != nil) != strings.Contains(failing, nameOf(planner.Job{Platform: job.Platform})) || (job.Err != nil) != (job.Manifests == nil) {
						t.Errorf("%+v", job)
					}
				}
			}
			if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		})
	}
	plan := expand(t, "linux/arm64", "linux/s390x")
	_, err := builder.Build(t.Context(), plan, builder.Options{Solver: failingFor("linux/arm64", "linux/s390x"), AllowMissing: missing})
	if want := "linux/arm64: exit code 1\nlinux/s390x: exit code 1"; err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

// A wrong image of a platform that may be missing is not published.
func TestAllowMissingWrong(t *testing.T) {
	plan := expand(t, "linux/amd64", "linux/arm64")
	published := &publisher{}
	_, err := builder.Build(t.Context(), plan, builder.Options{
		Solver: failingFor(), Publisher: published, AllowMissing: func(ocispec.Platform) bool { return true },
		Verify: func(_ context.Context, job planner.Job, _ []ocispec.Descriptor) error {
			if job.Platform.Architecture == "arm64" {
				return errors.New("it is for amd64")
			}
			return nil
		},
	})
	if err != nil || len(published.manifests[0]) != 1 || published.manifests[0][0].Platform.Architecture != "amd64" {
		t.Errorf("published %v, error %v", published.manifests, err)
	}
}

// Case 27: a job that takes too long ends, and says so.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := expand(t, "linux/amd64", "linux/arm64")
		began := time.Now()
		_, err := builder.Build(t.Context(), plan, builder.Options{
			Timeout: time.Minute,
			Solver: solver(func(ctx context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
				if job.Platform.Architecture == "arm64" {
					<-ctx.Done()
					return nil, context.Cause(ctx)
				}
				return nil, nil
			}),
		})
		var late *builder.TimeoutError
		if !errors.As(err, &late) || !strings.HasPrefix(err.Error(), "linux/arm64: the platform took longer than 1m0s") || time.Since(began) != time.Minute {
			t.Errorf("error %v after %v", err, time.Since(began))
		}
	})
}

// A job is tried again only for what may pass, as often as it is said, and after pauses
// that grow.
func TestRetries(t *testing.T) {
	passing := errors.New("503")
	for failures, want := range map[int]string{
		0: "0 at [0s]", 2: "2 at [0s 1s 3s]", 7: "7 at [0s 1s 3s 7s 15s 31s 1m1s 1m31s]", 8: "linux/amd64: 503",
	} {
		t.Run(fmt.Sprint(failures), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tries []time.Duration
				began := time.Now()
				result, err := builder.Build(t.Context(), expand(t, "linux/amd64"), builder.Options{
					Retries: 7, Passes: func(err error) bool { return errors.Is(err, passing) },
					Solver: solver(func(_ context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
						tries = append(tries, time.Since(began))
						if len(tries) <= failures {
							return nil, passing
						}
						return []ocispec.Descriptor{image(job.Platform)}, nil
					}),
				})
				got := fmt.Sprint(err)
				if err == nil {
					got = fmt.Sprintf("%d at %v", result.Jobs[0].Retries, tries)
				}
				if got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		})
	}
	_, err := builder.Build(t.Context(), expand(t, "linux/amd64"), builder.Options{
		Retries: 2, Passes: func(error) bool { return false }, Solver: failingFor("linux/amd64"),
	})
	if err == nil {
		t.Error("no error")
	}
}

// What ends a build, or a job that takes too long, does not wait for a retry.
func TestRetriesEnd(t *testing.T) {
	interrupt := errors.New("interrupted")
	for name, test := range map[string]struct {
		timeout time.Duration
		want    string
		after   time.Duration
	}{
		"interrupted":    {want: "interrupted", after: 5 * time.Second},
		"takes too long": {timeout: 2 * time.Second, want: "linux/amd64: the platform took longer than 2s", after: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				stop := time.AfterFunc(5*time.Second, func() { cancel(interrupt) })
				defer stop.Stop()
				began := time.Now()
				_, err := builder.Build(ctx, expand(t, "linux/amd64"), builder.Options{
					Retries: 99, Timeout: test.timeout, Passes: func(error) bool { return true }, Solver: failingFor("linux/amd64"),
				})
				if !strings.HasPrefix(fmt.Sprint(err), test.want) || time.Since(began) != test.after {
					t.Errorf("error %v after %s, want %q after %s", err, time.Since(began), test.want, test.after)
				}
			})
		})
	}
}
