package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/integration/bench/report"
	"github.com/mabuild/mabuild/integration/bench/rig"
	"github.com/mabuild/mabuild/integration/testbed"
)

// Names of the clients of a service, beside those of all cases.
const (
	plain  = "mabuild, assist and verify off"
	pinned = "buildx, pinned by hand"
)

// servicePath is where the example's images have its program.
const servicePath = "usr/local/bin/linkd"

// warmRuns is how many rounds of builds without a change are counted for each round
// of cold ones, which take a thousand times as long.
const warmRuns = 15

// serviceCase is one way of building the service.
type serviceCase struct {
	name      string
	platforms []string
	clients   []string
	runs      int  // 0: as many as are asked for
	cold      bool // BuildKit's cache and mabuild's are empty in each run
}

// serviceCases returns the cases in their order. The last cold run has buildx last, if
// the rounds are odd, so that the warm case finds all but one step in the cache.
func serviceCases() []serviceCase {
	return []serviceCase{
		{name: "service, arm64", platforms: []string{"linux/arm64"}, clients: []string{pinned, mabuild, buildx}, cold: true},
		{name: "service, amd64 and arm64", platforms: []string{"linux/amd64", "linux/arm64"}, clients: []string{mabuild, buildx}, cold: true},
		{name: "service, warm", platforms: []string{"linux/amd64", "linux/arm64"}, clients: []string{mabuild, plain, buildx}, runs: warmRuns},
	}
}

// ServiceOptions say what to measure.
type ServiceOptions struct {
	Options
	// Dir is the folder of the service: examples/go-service.
	Dir string
}

// service is a bench and what the service's builds need.
type service struct {
	*bench
	dir     string
	modules *rig.Modules
	program map[string]digest.Digest // by platform: the program that was built first
}

// RunService measures a Go service whose Dockerfile lets the compiler run emulated, and
// compares what came out, byte by byte. Nothing of the service is changed for it.
func RunService(ctx context.Context, opts ServiceOptions) (rows []report.Row, err error) {
	if opts.Runs == 0 {
		opts.Runs = 1
	}
	b, err := newBench(opts.Options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.clean()) }()
	s := &service{bench: b, dir: opts.Dir, program: map[string]digest.Digest{}}
	b.Logger.Info("preparing the base images; minutes the first time")
	mirror, err := testbed.Bases(ctx, testbed.Options{Images: []string{testbed.Debian, testbed.Golang}, Logger: b.Logger})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, mirror.Close()) }()
	if s.modules, err = rig.StartModules(ctx, opts.Dir); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.modules.Close()) }()
	stop, err := b.start(ctx, rig.DaemonOptions{Mirror: mirror.Addr, Emulate: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	config := filepath.Join(b.dir, "registries.toml")
	if err := os.WriteFile(config, rig.RegistryConfig(mirror.Addr, b.registry.Addr), 0o644); err != nil {
		return nil, fmt.Errorf("telling mabuild about the registries: %w", err)
	}
	b.runner.Env = append(b.runner.Env, "MABUILD_ENGINE_CONFIG="+config)

	return each(b, serviceCases(), func(c serviceCase) string { return c.name }, func(c serviceCase) ([]report.Row, error) { return s.measure(ctx, c) })
}

// measure runs all clients of a case, round by round.
func (s *service) measure(ctx context.Context, c serviceCase) ([]report.Row, error) {
	runs, first := s.Runs, 1
	if c.runs != 0 {
		runs, first = c.runs, 0 // round 0 fills caches
	}
	series := make([]report.Series, len(c.clients))
	for i, name := range c.clients {
		series[i].Tool = name
	}
	for n := first; n <= runs; n++ {
		s.Logger.Info("measuring", "case", c.name, "round", n, "of", runs)
		for k := range c.clients {
			which := (n - 1 + k + len(c.clients)) % len(c.clients)
			sample, err := s.run(ctx, c, c.clients[which], n)
			if err != nil {
				return nil, err
			}
			s.Logger.Info("ran", "client", c.clients[which], "seconds", sample.Elapsed.Seconds(), "cpu", sample.CPU.Seconds(), "peak", report.MiB(sample.Peak))
			if n > 0 {
				series[which].Samples = append(series[which].Samples, sample)
			}
		}
	}
	rows := report.Summarise(c.name, buildx, series)
	for i, this := range series {
		for k, other := range series {
			if k != i {
				rows[i].Beside = append(rows[i].Beside, report.Compare(this, other))
			}
		}
	}
	return rows, nil
}

// run prepares what the case asks for, runs one client and checks what it pushed.
func (s *service) run(ctx context.Context, c serviceCase, name string, n int) (report.Sample, error) {
	repository := "service-warm"
	if c.cold {
		repository = fmt.Sprintf("service-%d-%d", len(c.platforms), n)
		if err := s.forget(ctx); err != nil {
			return report.Sample{}, err
		}
	}
	tag := strings.NewReplacer(",", "", " ", "-").Replace(name)
	before, err := s.daemon.CPU()
	if err != nil {
		return report.Sample{}, err
	}
	result, err := s.runner.Run(ctx, s.command(name, job{
		address: s.daemon.Address(), platforms: c.platforms, context: s.dir,
		reference: s.registry.Addr + "/" + repository + ":" + tag,
		args:      []string{"GOPROXY=" + s.modules.URL},
	})...)
	if err != nil {
		return report.Sample{}, err
	}
	after, err := s.daemon.CPU()
	if err != nil {
		return report.Sample{}, err
	}
	if err := s.check(ctx, c, repository, tag); err != nil {
		return report.Sample{}, fmt.Errorf("checking what %s pushed: %w", name, err)
	}
	return report.Sample{Elapsed: result.Elapsed, Peak: result.Peak, CPU: after - before + result.CPU}, nil
}

// command is a client's command line: that of [clients], but for the variants.
func (s *service) command(name string, j job) []string {
	base, flags := name, []string(nil)
	switch name {
	case plain:
		base, flags = mabuild, []string{"--assist=off", "--verify=off"}
	case pinned:
		base, j.file = buildx, filepath.Join(s.dir, "Dockerfile.pinned")
	}
	for _, c := range clients(s.Mabuild, s.Tools) {
		if c.name == base {
			return append(c.command(j), flags...)
		}
	}
	return nil // there is none: the names above are those of clients
}

// forget empties BuildKit's cache and deletes what mabuild keeps about images: the next
// build is the first one.
func (s *service) forget(ctx context.Context) error {
	if err := os.RemoveAll(filepath.Join(s.bench.dir, "home", ".cache")); err != nil {
		return fmt.Errorf("emptying mabuild's cache: %w", err)
	}
	return s.prune(ctx)
}

// check holds that the image has the platforms, and the same program as all before,
// whoever built it in which way.
func (s *service) check(ctx context.Context, c serviceCase, repository, tag string) error {
	image, err := s.registry.Image(ctx, repository, tag)
	if err != nil {
		return err
	}
	if err := rig.CheckPlatforms(image.Manifests, c.platforms); err != nil {
		return err
	}
	for _, desc := range image.Manifests {
		program, err := image.File(ctx, desc, servicePath)
		if err != nil {
			return err
		}
		platform, got := desc.Platform.Architecture, digest.FromBytes(program)
		switch want, known := s.program[platform]; {
		case !known:
			s.program[platform] = got
			s.Logger.Info("every other build has to make the same program", "platform", platform, "digest", got, "bytes", len(program))
		case got != want:
			return fmt.Errorf("comparing the program for %s: it is %s, others made %s", platform, got, want)
		}
	}
	return nil
}
