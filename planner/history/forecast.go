package history

import (
	"runtime"
	"slices"
	"time"

	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/exact"
)

// Source says what an estimate is made from.
type Source string

// The sources of estimates, the best first.
const (
	FromExact  Source = "exact"  // the same step, but for files of the build context
	FromStep   Source = "step"   // the same instruction, after other ones or on another base
	FromScaled Source = "scaled" // the same instruction on another platform, times the emulator's factor
)

var sources = []Source{FromExact, FromStep, FromScaled}

// worse returns the source that says less.
func worse(a, b Source) Source {
	if slices.Index(sources, a) > slices.Index(sources, b) {
		return a
	}
	return b
}

// Estimate is how long something will take.
type Estimate struct {
	Duration time.Duration
	// Spread is what Duration may be off to either side.
	Spread time.Duration
	// From is the worst source of what the estimate is made from.
	From Source
}

// Forecast is what the past says about a plan: how long its commands take if every
// one of them runs.
type Forecast struct {
	// Builds is the number of recorded builds that the estimates come from.
	Builds int

	// Total is how long all of the plan's known commands take together, as many at a
	// time as there are processors, with Spread to either side.
	Total, Spread time.Duration

	// Known and Unknown count the commands with and without an estimate.
	Known, Unknown int

	// Platforms are the longest chains of commands, by the job's platform. Platforms
	// of which no command is known are missing.
	Platforms map[string]Estimate

	// Slowest is the platform with the longest chain, and Dominant the command that
	// takes most of it.
	Slowest  string
	Dominant Dominant

	// Steps are the estimates of commands by Step.ID.
	Steps map[digest.Digest]Estimate

	// Programs are, by Step.ID, those that QEMU spent most time in when the command was
	// last emulated on the same platform: by the same step, or else by the same command
	// line. Commands of which nothing is known are missing.
	Programs map[digest.Digest][]Program
}

// Dominant is the command that a platform spends most of its time in.
type Dominant struct {
	Step  digest.Digest
	Stage string
	Line  int
	// Share is its part of the platform's chain, from 0 to 1.
	Share float64
}

// ForecastOptions say where the plan will run.
type ForecastOptions struct {
	// Builder is the one of Record.Builder: its own measurements are preferred.
	Builder string
	// Slots is how many commands make progress at the same time. Default: the number
	// of this machine's processors.
	Slots int
}

// Forecast says how long a plan will take. It is nil if no command of the plan is
// known.
func (p *Past) Forecast(plan *exact.Result, opts ForecastOptions) *Forecast {
	if len(p.records) == 0 {
		return nil
	}
	if opts.Slots <= 0 {
		opts.Slots = runtime.NumCPU()
	}
	f := &Forecast{Platforms: make(map[string]Estimate), Steps: make(map[digest.Digest]Estimate)}
	estimates := make([]Estimate, len(plan.Steps))
	builds := make(map[string]bool)
	factor := p.factor(opts.Builder)
	for i, step := range plan.Steps {
		if step.Kind != "exec" {
			continue
		}
		estimate, known := p.estimate(step, opts.Builder, factor)
		if len(known) == 0 {
			f.Unknown++
			continue
		}
		f.Known++
		f.Steps[step.ID] = estimate
		f.addPrograms(p, step, opts.Builder)
		estimates[i] = estimate
		for _, s := range known {
			builds[s.build] = true
		}
	}
	if f.Known == 0 {
		return nil
	}
	f.Builds = len(builds)
	n := newNetwork(plan.Steps)
	f.Total = n.span(func(i int) time.Duration { return estimates[i].Duration }, opts.Slots)
	// A busy machine slows down all commands, so they are late together.
	late := n.span(func(i int) time.Duration { return estimates[i].Duration + estimates[i].Spread }, opts.Slots)
	early := n.span(func(i int) time.Duration { return estimates[i].Duration - estimates[i].Spread }, opts.Slots)
	f.Spread = max(late-early, 0) / 2
	f.follow(plan, n, estimates)
	return f
}

// follow finds the platforms' longest chains.
func (f *Forecast) follow(plan *exact.Result, n *network, estimates []Estimate) {
	length, before := n.chains(func(i int) time.Duration { return estimates[i].Duration })
	last := make(map[string]int)
	for i, step := range plan.Steps {
		for _, platform := range step.Platforms {
			if known, ok := last[platform]; !ok || length[i] > length[known] {
				last[platform] = i
			}
		}
	}
	for _, platform := range plan.Platforms {
		end, ok := last[platform]
		if !ok {
			continue
		}
		var chain Estimate
		longest := -1
		for i := end; i >= 0; i = before[i] {
			if estimates[i].From == "" {
				continue
			}
			chain.Duration += estimates[i].Duration
			chain.Spread += estimates[i].Spread
			chain.From = worse(chain.From, estimates[i].From)
			if longest < 0 || estimates[i].Duration > estimates[longest].Duration {
				longest = i
			}
		}
		if longest < 0 {
			continue
		}
		f.Platforms[platform] = chain
		if slowest, ok := f.Platforms[f.Slowest]; ok && chain.Duration <= slowest.Duration {
			continue
		}
		f.Slowest = platform
		step := plan.Steps[longest]
		f.Dominant = Dominant{Step: step.ID, Stage: step.Stage, Line: step.Line}
		if chain.Duration > 0 {
			f.Dominant.Share = float64(estimates[longest].Duration) / float64(chain.Duration)
		}
	}
}
