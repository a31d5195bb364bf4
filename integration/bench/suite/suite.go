package suite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"

	"github.com/mabuild/mabuild/integration/bench/report"
	"github.com/mabuild/mabuild/integration/bench/rig"
)

// Options say what to measure.
type Options struct {
	// Mabuild is the absolute path of mabuild.
	Mabuild string
	// Tools are what it is compared with.
	Tools rig.Tools
	// Runs is how many rounds count. 0: 6. A multiple of the number of clients lets
	// each be first equally often.
	Runs int
	// Cases selects rows by the names of their cases. Nil: all.
	Cases *regexp.Regexp
	// Logger hears of the progress. Nil: nobody does.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Runs == 0 {
		o.Runs = 6
	}
	if o.Cases == nil {
		o.Cases = regexp.MustCompile("")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// bench is one run of the suite.
type bench struct {
	Options
	dir      string
	runner   rig.Runner
	daemon   *rig.Daemon
	registry *rig.Registry
	stock    *report.Row // memory of the idle buildkitd; nil: not wanted
}

// each measures those of the cases that are asked for.
func each[C any](b *bench, cases []C, name func(C) string, measure func(C) ([]report.Row, error)) (rows []report.Row, err error) {
	for _, c := range cases {
		if !b.Cases.MatchString(name(c)) {
			continue
		}
		measured, err := measure(c)
		if err != nil {
			return nil, fmt.Errorf("measuring %q: %w", name(c), err)
		}
		rows = append(rows, measured...)
	}
	if len(rows) == 0 {
		return nil, b.nothing()
	}
	return rows, nil
}

// nothing is the error where no case was asked for.
func (b *bench) nothing() error {
	return fmt.Errorf("no case matches %q: leave -case out to measure all", b.Cases)
}

// Run measures and returns one row per case and program. A client that fails or
// pushes something else than it was asked for is an error.
func Run(ctx context.Context, opts Options) (rows []report.Row, err error) {
	b, err := newBench(opts)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.clean()) }()
	if rows, err = b.clients(ctx); err != nil {
		return nil, err
	}
	more, err := b.engine(ctx)
	if err != nil {
		return nil, err
	}
	rows = append(rows, more...)
	if len(rows) == 0 {
		return nil, b.nothing()
	}
	return rows, nil
}

func newBench(opts Options) (*bench, error) {
	dir, err := os.MkdirTemp("", "mabuild-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the measurement: %w: set TMPDIR to one that can be written", err)
	}
	return &bench{Options: opts.withDefaults(), dir: dir, runner: rig.Runner{
		Measure: opts.Tools.Measure, Env: environment(dir), Dir: dir,
	}}, nil
}

// clean deletes the folder, unless something is still mounted in there.
func (b *bench) clean() error {
	b.Logger.Info("cleaning up; minutes if large contexts left their copies on a slow disk")
	if err := rig.Unmount(b.dir); err != nil {
		return err
	}
	if err := os.RemoveAll(b.dir); err != nil {
		return fmt.Errorf("deleting what the measurement left: %w: delete %q", err, b.dir)
	}
	return nil
}

// clients measures the cases that compare clients.
func (b *bench) clients(ctx context.Context) (rows []report.Row, err error) {
	var wanted []Case
	for _, c := range Cases() {
		if b.Cases.MatchString(c.Name) {
			wanted = append(wanted, c)
		}
	}
	idle := b.Cases.MatchString(engineIdle)
	if len(wanted) == 0 && !idle {
		return nil, nil
	}
	stop, err := b.start(ctx, rig.DaemonOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if idle { // before the cases: a daemon that has built keeps memory
		row, err := b.idle(ctx, "buildkitd", b.daemon.PID())
		if err != nil {
			return nil, err
		}
		b.stock = &row
	}
	for _, c := range wanted {
		measured, err := b.measure(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("measuring %q: %w", c.Name, err)
		}
		rows = append(rows, measured...)
	}
	return rows, nil
}

// start brings up the registry, buildkitd and buildx' builder. The function that it
// returns takes the first two down.
func (b *bench) start(ctx context.Context, daemon rig.DaemonOptions) (stop func() error, err error) {
	for _, folder := range []string{"buildkit", "home"} {
		if err := os.Mkdir(filepath.Join(b.dir, folder), 0o755); err != nil {
			return nil, fmt.Errorf("preparing the measurement: %w", err)
		}
	}
	b.registry, err = rig.StartRegistry(ctx, filepath.Join(b.dir, "registry"))
	if err != nil {
		return nil, err
	}
	daemon.Tools, daemon.Dir, daemon.Registry = b.Tools, filepath.Join(b.dir, "buildkit"), b.registry.Addr
	b.daemon, err = rig.StartDaemon(ctx, daemon)
	if err != nil {
		return nil, errors.Join(err, b.registry.Close())
	}
	stop = func() error { return errors.Join(b.daemon.Close(), b.registry.Close()) }
	b.Logger.Info("buildkitd is ready", "version", b.Tools.BuildKitVersion, "snapshotter", b.daemon.Snapshotter())
	_, err = b.runner.Run(ctx, b.Tools.Buildx, "create", "--driver", "remote", "--name", builder, b.daemon.Address())
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}
