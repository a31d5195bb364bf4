package main

import (
	"errors"
	"slices"
	"time"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/planner"
)

// jobFlags say how the platforms of a build depend on each other.
type jobFlags struct {
	atOnce    int
	keepGoing bool
	missing   []string
	timeout   time.Duration
	retries   int
}

func (f *jobFlags) addFlags(set *pflag.FlagSet) {
	set.IntVar(&f.atOnce, "jobs", 0, "build `N` platforms at the same time (default: all, of emulated ones as many as the memory has room for, 1 GiB each)")
	set.BoolVar(&f.keepGoing, "keep-going", false, "when a platform fails, build the others to the end and tell all failures; nothing is tagged")
	set.StringSliceVar(&f.missing, "allow-missing", nil, "publish without these `PLATFORMS` if they fail")
	set.DurationVar(&f.timeout, "timeout", 0, "end a platform that takes longer than this, e.g. 1h (default: never)")
	set.IntVar(&f.retries, "retry", 0, "try a platform again up to `N` times when a registry failed, after pauses of 1s to 30s")
}

// jobOptions are checked flags.
type jobOptions struct {
	atOnce    int
	emulated  int // at the same time, zero is all
	keepGoing bool
	mayMiss   func(ocispec.Platform) bool
	timeout   time.Duration
	retries   int
}

func (f *jobFlags) options() (jobOptions, error) {
	o := jobOptions{atOnce: f.atOnce, keepGoing: f.keepGoing, timeout: f.timeout, retries: f.retries}
	if f.atOnce < 0 {
		return o, usagef("--jobs is %d; use 1 or more, or leave it away to build all platforms at once", f.atOnce)
	}
	if f.retries < 0 || f.timeout < 0 {
		return o, usagef("--retry and --timeout cannot be negative")
	}
	if len(f.missing) == 0 {
		return o, nil
	}
	missing, err := planner.ParsePlatforms(f.missing...)
	if err != nil {
		return o, err
	}
	o.mayMiss = func(p ocispec.Platform) bool {
		return slices.ContainsFunc(missing, platforms.OnlyStrict(p).Match)
	}
	return o, nil
}

// passes reports whether a job may succeed the next time.
func passes(err error) bool {
	var e *buildkit.Error
	return errors.As(err, &e) && e.Kind == buildkit.RegistryFailed
}
