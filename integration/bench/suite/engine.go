package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/mabuild/mabuild/integration/bench/report"
	"github.com/mabuild/mabuild/integration/bench/rig"
)

// idleFor is how long a daemon is left alone before its memory is read.
const idleFor = 5 * time.Second

// engine measures what mabuild carries in itself.
func (b *bench) engine(ctx context.Context) (rows []report.Row, err error) {
	start, idle := b.Cases.MatchString(engineStart), b.Cases.MatchString(engineIdle)
	if start || idle {
		// An engine that was started has to end, also when ctx was cancelled.
		defer func() { err = errors.Join(err, b.stopEngine(context.WithoutCancel(ctx), "--force")) }()
		series, err := b.engineStarts(ctx, start)
		if err != nil {
			return nil, err
		}
		if start {
			rows = append(rows, report.Summarise(engineStart, buildx, []report.Series{series})...)
		}
	}
	if idle {
		pid, err := b.enginePID(ctx)
		if err != nil {
			return nil, err
		}
		row, err := b.idle(ctx, mabuild, pid)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
		if b.stock != nil {
			rows = append(rows, *b.stock)
		}
	}
	if b.Cases.MatchString(binarySize) {
		sizes, err := b.binarySizes()
		if err != nil {
			return nil, err
		}
		rows = append(rows, sizes...)
	}
	return rows, nil
}

// engineStarts times a command that needs the engine while none runs, and leaves the
// last engine running. Unless all are wanted, it starts one.
func (b *bench) engineStarts(ctx context.Context, all bool) (report.Series, error) {
	series := report.Series{Tool: mabuild}
	for n := range b.Runs + 1 {
		if n > 0 {
			if err := b.stopEngine(ctx); err != nil {
				return series, err
			}
		}
		b.Logger.Info("measuring", "case", engineStart, "round", n, "of", b.Runs)
		result, err := b.runner.Run(ctx, b.Mabuild, "engine", "du")
		if err != nil {
			return series, err
		}
		if n > 0 { // round 0 makes the state
			series.Samples = append(series.Samples, report.Sample{Elapsed: result.Elapsed})
		}
		if !all {
			break
		}
	}
	return series, nil
}

func (b *bench) stopEngine(ctx context.Context, flags ...string) error {
	_, err := b.runner.Run(ctx, append([]string{b.Mabuild, "engine", "stop"}, flags...)...)
	return err
}

func (b *bench) enginePID(ctx context.Context) (int, error) {
	result, err := b.runner.Run(ctx, b.Mabuild, "engine", "status", "--json")
	if err != nil {
		return 0, err
	}
	var status struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal(result.Stdout, &status); err != nil || status.PID == 0 {
		return 0, fmt.Errorf("finding the engine's process: %w: %q", errors.Join(err, errors.New("the status has no pid")), result.Stdout)
	}
	return status.PID, nil
}

// idle reads the memory of a process that has had nothing to do for a while.
func (b *bench) idle(ctx context.Context, name string, pid int) (report.Row, error) {
	b.Logger.Info("measuring", "case", engineIdle, "program", name, "after", idleFor)
	select {
	case <-time.After(idleFor):
	case <-ctx.Done():
		return report.Row{}, fmt.Errorf("waiting for %s to be idle: %w", name, context.Cause(ctx))
	}
	resident, err := rig.Resident(pid)
	if err != nil {
		return report.Row{}, err
	}
	return report.Row{Case: engineIdle, Tool: name, PeakMiB: report.MiB(resident)}, nil
}

func (b *bench) binarySizes() ([]report.Row, error) {
	var rows []report.Row
	for _, path := range []string{b.Mabuild, b.Tools.Buildx, b.Tools.Buildctl, b.Tools.Buildkitd} {
		size, err := rig.StrippedSize(path)
		if err != nil {
			return nil, err
		}
		name := filepath.Base(path)
		if path == b.Mabuild {
			name = mabuild
		}
		rows = append(rows, report.Row{Case: binarySize, Tool: name, PeakMiB: report.MiB(size)})
	}
	return rows, nil
}
