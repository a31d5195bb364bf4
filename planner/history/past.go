package history

import (
	"slices"
	"time"

	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/exact"
)

const (
	samples       = 5    // of a step that count, the newest
	enoughSamples = 3    // for their deviation to mean something
	startFactor   = 10.0 // of an emulator that nothing is known of
	maxFactor     = 100.0
)

// Past is what is known of a project.
type Past struct {
	records []Record // oldest first

	exact   map[digest.Digest][]sample
	similar map[instruction][]sample
	pairs   []instruction // keys of similar, in the order of their first use
}

// instruction is one command of a stage, whatever the files and platforms.
type instruction struct{ stage, hash string }

// sample is one measurement.
type sample struct {
	build, builder string
	platform       string
	emulated       bool
	took           time.Duration
	programs       []Program
}

func newPast(records []Record) *Past {
	p := &Past{records: records, exact: make(map[digest.Digest][]sample), similar: make(map[instruction][]sample)}
	for _, r := range records {
		for _, run := range r.Runs {
			s := sample{
				build: r.Build, builder: r.Builder, platform: run.ExecPlatform, emulated: run.Emulated, took: run.Duration, programs: run.Programs,
			}
			p.exact[run.ID] = append(p.exact[run.ID], s)
			key := instruction{run.Stage, run.Instruction}
			if p.similar[key] == nil {
				p.pairs = append(p.pairs, key)
			}
			p.similar[key] = append(p.similar[key], s)
		}
	}
	return p
}

// Records returns what is known, oldest first.
func (p *Past) Records() []Record { return p.records }

// estimate looks for what is known of a step, the most similar first.
func (p *Past) estimate(step exact.Step, builder string, factor float64) (Estimate, []sample) {
	if known := newest(p.exact[step.ID], builder); len(known) > 0 {
		return estimateOf(known, FromExact, 1), known
	}
	emulated := step.State == exact.StateEmulated
	var alike, moved, scaled []sample
	for _, s := range p.similar[instruction{step.Stage, instructionOf(step)}] {
		switch {
		case s.emulated == emulated && s.platform == step.ExecPlatform:
			alike = append(alike, s)
		case s.emulated == emulated:
			moved = append(moved, s)
		default:
			scaled = append(scaled, s)
		}
	}
	if known := newest(alike, builder); len(known) > 0 {
		return estimateOf(known, FromStep, 1), known
	}
	if known := newest(moved, builder); len(known) > 0 {
		return estimateOf(known, FromScaled, 1), known
	}
	if !emulated {
		factor = 1 / factor
	}
	known := newest(scaled, builder)
	return estimateOf(known, FromScaled, factor), known
}

// newest returns the last samples of the builder, or of any if it has none.
func newest(all []sample, builder string) []sample {
	own := make([]sample, 0, samples)
	for i := len(all) - 1; i >= 0 && len(own) < samples; i-- {
		if all[i].builder == builder {
			own = append(own, all[i])
		}
	}
	if len(own) == 0 {
		return all[max(len(all)-samples, 0):]
	}
	return own
}

// estimateOf makes an estimate of samples, zero if there are none.
func estimateOf(known []sample, from Source, factor float64) Estimate {
	if len(known) == 0 {
		return Estimate{}
	}
	times := make([]time.Duration, len(known))
	for i, s := range known {
		times[i] = s.took
	}
	middle := median(times)
	for i, t := range times {
		times[i] = max(t-middle, middle-t)
	}
	e := Estimate{Duration: scale(middle, factor), Spread: scale(median(times), factor), From: from}
	// Few measurements agree by chance, and a guess is no better for being certain.
	switch {
	case from == FromScaled:
		e.Spread = max(e.Spread, e.Duration/2)
	case len(known) < enoughSamples:
		e.Spread = max(e.Spread, e.Duration/4)
	}
	return e
}

func scale(d time.Duration, factor float64) time.Duration {
	return min(time.Duration(float64(d)*factor), maxDuration)
}

// median returns the middle of some durations, which it sorts.
func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	n := len(times)
	if n%2 == 1 {
		return times[n/2]
	}
	return (times[n/2-1] + times[n/2]) / 2
}

// factor is how many times longer commands take under emulation on a builder, of
// those that were seen both ways.
func (p *Past) factor(builder string) float64 {
	var factors []float64
	for _, key := range p.pairs {
		var native, emulated []sample
		for _, s := range p.similar[key] {
			switch {
			case s.builder != builder:
			case s.emulated:
				emulated = append(emulated, s)
			default:
				native = append(native, s)
			}
		}
		n, e := estimateOf(newest(native, builder), FromStep, 1), estimateOf(newest(emulated, builder), FromStep, 1)
		// What is over at once says more about starting a process.
		if n.Duration >= 100*time.Millisecond && e.Duration > 0 {
			factors = append(factors, float64(e.Duration)/float64(n.Duration))
		}
	}
	if len(factors) == 0 {
		return startFactor
	}
	slices.Sort(factors)
	return min(max(factors[len(factors)/2], 1), maxFactor)
}
