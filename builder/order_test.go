package builder_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/planner"
)

// The longest jobs start first if they have to wait for each other; the results keep
// the plan's order.
func TestBuildStartsTheLongestFirst(t *testing.T) {
	names := []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x", "linux/riscv64"}
	weights := map[string]time.Duration{"linux/amd64": time.Second, "linux/arm64": time.Minute, "linux/s390x": time.Hour, "linux/riscv64": time.Minute}
	longest := []string{"linux/s390x", "linux/arm64", "linux/riscv64", "linux/amd64", "linux/arm/v7"}
	weight := func(job planner.Job) time.Duration { return weights[nameOf(job)] }
	never := func(job planner.Job) time.Duration {
		t.Errorf("%s was weighed", nameOf(job))
		return 0
	}
	for _, test := range []struct {
		name   string
		jobs   int
		weight func(planner.Job) time.Duration
		want   []string // in the order of their start, as many as there are at a time in any order
	}{
		{"one at a time", 1, weight, longest},
		{"two at a time", 2, weight, longest},
		{"no weights", 1, nil, names},
		{"all at once", 0, never, nil},
		{"enough for all", 5, never, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			started, release, built := make(chan string), make(chan struct{}), make(chan error)
			checked := false
			var result *builder.Result
			go func() {
				var err error
				result, err = builder.Build(t.Context(), expand(t, names...), builder.Options{
					Jobs: test.jobs, Weight: test.weight,
					Check: func(context.Context) error { checked = true; return nil },
					Solver: solver(func(_ context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
						started <- nameOf(job)
						<-release
						return []ocispec.Descriptor{image(job.Platform)}, nil
					}),
				})
				built <- err
			}()
			// As many as run at the same time start in any order among themselves.
			atOnce := test.jobs
			if atOnce == 0 {
				atOnce = len(names)
			}
			var order []string
			for range atOnce {
				order = append(order, <-started)
			}
			for len(order) < len(names) {
				release <- struct{}{}
				order = append(order, <-started)
			}
			close(release)
			if err := <-built; err != nil || !checked {
				t.Fatalf("error %v, checked %t", err, checked)
			}
			if test.want != nil {
				slices.SortFunc(order[:atOnce], func(a, b string) int { return slices.Index(test.want, a) - slices.Index(test.want, b) })
				if diff := cmp.Diff(test.want, order); diff != "" {
					t.Errorf("order of starting (-want +got):\n%s", diff)
				}
			}
			for i, job := range result.Jobs {
				if got := platforms.FormatAll(job.Platform); got != names[i] {
					t.Errorf("result %d is %s's, want %s's", i, got, names[i])
				}
			}
		})
	}
}

// Emulated jobs wait for each other, the longest first, and native ones for nothing.
func TestBuildLimitsEmulatedJobs(t *testing.T) {
	names := []string{"linux/arm64", "linux/amd64", "linux/s390x", "linux/riscv64", "linux/arm/v7"}
	weights := map[string]time.Duration{"linux/arm64": time.Minute, "linux/s390x": time.Hour, "linux/riscv64": time.Second}
	emulated := func(job planner.Job) bool { return weights[nameOf(job)] > 0 }
	started, release := make(chan string), make(map[string]chan struct{})
	for _, name := range names {
		release[name] = make(chan struct{})
	}
	built := make(chan error)
	go func() {
		_, err := builder.Build(t.Context(), expand(t, names...), builder.Options{
			EmulatedJobs: 1, Emulated: emulated, Weight: func(job planner.Job) time.Duration { return weights[nameOf(job)] },
			Solver: solver(func(_ context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
				started <- nameOf(job)
				<-release[nameOf(job)]
				return []ocispec.Descriptor{image(job.Platform)}, nil
			}),
		})
		built <- err
	}()
	first := []string{<-started, <-started, <-started}
	slices.Sort(first)
	if diff := cmp.Diff([]string{"linux/amd64", "linux/arm/v7", "linux/s390x"}, first); diff != "" {
		t.Errorf("what started at once (-want +got):\n%s", diff)
	}
	for _, step := range [][2]string{{"linux/s390x", "linux/arm64"}, {"linux/arm64", "linux/riscv64"}} {
		close(release[step[0]])
		if got := <-started; got != step[1] {
			t.Errorf("after %s came %s, want %s", step[0], got, step[1])
		}
	}
	for _, name := range []string{"linux/riscv64", "linux/amd64", "linux/arm/v7"} {
		close(release[name])
	}
	if err := <-built; err != nil {
		t.Fatal(err)
	}
}

// A failure ends those that wait.
func TestBuildEndsWaitingEmulatedJobs(t *testing.T) {
	var ran []string
	_, err := builder.Build(t.Context(), expand(t, "linux/arm64", "linux/s390x", "linux/riscv64"), builder.Options{
		EmulatedJobs: 1, Emulated: func(planner.Job) bool { return true },
		Solver: solver(func(_ context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
			ran = append(ran, nameOf(job)) // one at a time
			return nil, context.DeadlineExceeded
		}),
	})
	var failed *builder.JobError
	if !errors.As(err, &failed) || len(ran) != 1 {
		t.Errorf("%v after %v", err, ran)
	}
}
