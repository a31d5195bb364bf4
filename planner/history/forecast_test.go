package history_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/history"
)

// run is a step of a plan that executes a command for the platforms of jobs.
func run(id, command, on string, state exact.State, jobs []string, inputs ...string) exact.Step {
	step := exact.Step{
		ID: digest.FromString(id), Kind: "exec", Place: exact.Place{Stage: "build", Line: len(id)}, Args: []string{"/bin/sh", "-c", command},
		ExecPlatform: on, State: state, Platforms: jobs,
	}
	for _, input := range inputs {
		step.Inputs = append(step.Inputs, digest.FromString(input))
	}
	return step
}

func native(id, command string, inputs ...string) exact.Step {
	return run(id, command, "linux/amd64", exact.StateNative, []string{"linux/amd64"}, inputs...)
}

func emulated(id, command string, inputs ...string) exact.Step {
	return run(id, command, "linux/arm64", exact.StateEmulated, []string{"linux/arm64"}, inputs...)
}

func planOf(steps ...exact.Step) *exact.Result {
	return &exact.Result{Platforms: []string{"linux/amd64", "linux/arm64"}, Steps: steps}
}

// build records that a build ran steps for so many seconds.
type build struct {
	builder string
	steps   []exact.Step
	seconds []float64
}

func once(step exact.Step, seconds float64) build {
	return build{"engine", []exact.Step{step}, []float64{seconds}}
}

func past(t testing.TB, builds ...build) *history.Past {
	t.Helper()
	s := history.Store{Dir: t.TempDir()}
	for i, b := range builds {
		r := history.Record{Time: time.Unix(int64(i), 0), Build: fmt.Sprint(i), Builder: b.builder, CPUs: 2}
		for k, step := range b.steps {
			r.Runs = append(r.Runs, history.RunOf(step, time.Duration(b.seconds[k]*float64(time.Second))))
		}
		if err := s.Append("p", r); err != nil {
			t.Fatal(err)
		}
	}
	p, err := s.Load("p")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEstimates(t *testing.T) {
	step := native("a", "make")
	other := native("other", "make") // the same command after something else
	cross := emulated("c", "make")
	many := func(step exact.Step, seconds ...float64) []build {
		var builds []build
		for _, s := range seconds {
			builds = append(builds, once(step, s))
		}
		return builds
	}
	second := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	tests := []struct {
		name             string
		past             []build
		step             exact.Step
		builder          string
		duration, spread time.Duration
		from             history.Source
		builds           int
	}{
		{name: "one measurement", past: many(step, 8), step: step, duration: second(8), spread: second(2), from: history.FromExact, builds: 1},
		{name: "median and deviation", past: many(step, 8, 9, 30), step: step, duration: second(9), spread: second(1), from: history.FromExact, builds: 3},
		{name: "even number", past: many(step, 8, 9, 10, 30), step: step, duration: second(9.5), spread: second(1), from: history.FromExact, builds: 4},
		{name: "last five", past: many(step, 100, 100, 100, 100, 5, 6, 7, 8, 9), step: step, duration: second(7), spread: second(1), from: history.FromExact, builds: 5},
		{name: "another step with the same command", past: many(other, 4), step: step, duration: second(4), spread: second(1), from: history.FromStep, builds: 1},
		{name: "exact before similar", past: append(many(step, 4), many(other, 8, 8, 8)...), step: step, duration: second(4), spread: second(1), from: history.FromExact, builds: 1},
		{name: "emulated from native", past: many(step, 2), step: cross, duration: second(20), spread: second(10), from: history.FromScaled, builds: 1},
		{name: "native from emulated", past: many(cross, 20), step: step, duration: second(2), spread: second(1), from: history.FromScaled, builds: 1},
		{
			name: "emulated from emulated", past: many(cross, 20), duration: second(20), spread: second(10), from: history.FromScaled, builds: 1,
			step: run("s390", "make", "linux/s390x", exact.StateEmulated, []string{"linux/arm64"}),
		},
		{
			name: "learned factor", past: append(append(many(native("x", "cc"), 2), many(emulated("y", "cc"), 6)...), many(step, 4)...),
			step: cross, duration: second(12), spread: second(6), from: history.FromScaled, builds: 1,
		},
		{
			name: "factor of something short", past: append(append(many(native("x", "true"), 0.001), many(emulated("y", "true"), 0.9)...), many(step, 4)...),
			step: cross, duration: second(40), spread: second(20), from: history.FromScaled, builds: 1,
		},
		{
			name: "own builder", past: []build{{"engine", []exact.Step{step}, []float64{8}}, {"node", []exact.Step{step}, []float64{80}}},
			step: step, builder: "engine", duration: second(8), spread: second(2), from: history.FromExact, builds: 1,
		},
		{
			name: "any builder", past: []build{{"node", []exact.Step{step}, []float64{8}}},
			step: step, builder: "engine", duration: second(8), spread: second(2), from: history.FromExact, builds: 1,
		},
		{name: "nothing", past: many(native("x", "cc"), 2), step: step},
		{name: "no past", step: step},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.builder == "" {
				test.builder = "engine"
			}
			f := past(t, test.past...).Forecast(planOf(test.step), history.ForecastOptions{Builder: test.builder})
			if test.from == "" {
				if f != nil {
					t.Errorf("there is a forecast: %+v", f)
				}
				return
			}
			if f == nil {
				t.Fatal("there is no forecast")
			}
			want := history.Estimate{Duration: test.duration, Spread: test.spread, From: test.from}
			if diff := cmp.Diff(want, f.Steps[test.step.ID]); diff != "" || f.Builds != test.builds || f.Known != 1 || f.Unknown != 0 {
				t.Errorf("forecast %+v\nestimate (-want +got):\n%s", f, diff)
			}
		})
	}
}

// The hash of a command knows its words apart.
func TestInstructionHash(t *testing.T) {
	seen := map[string][]string{}
	for _, args := range [][]string{{"a", "bc"}, {"ab", "c"}, {"abc"}, {"a", "b", "c"}, {"1:a"}, {"", "1:a"}, {}} {
		hash := history.RunOf(exact.Step{Args: args}, 0).Instruction
		if other, ok := seen[hash]; ok {
			t.Errorf("%q and %q have the same hash", args, other)
		}
		seen[hash] = args
	}
}

// TestForecast is a plan of two platforms with a shared stage and a step that is not
// known:
//
//	shared 10s ─┬─ amd64 20s ── (copy) ── last
//	            └─ arm64 60s ── (copy) ── unknown
func TestForecast(t *testing.T) {
	both := []string{"linux/amd64", "linux/arm64"}
	shared := run("shared", "npm", "linux/amd64", exact.StateNative, both, "base")
	amd64 := native("a", "make", "shared")
	arm64 := emulated("b", "make", "shared")
	plan := planOf(
		exact.Step{ID: digest.FromString("base"), Kind: "image", Platforms: both},
		// Inputs may come later in the file.
		native("last", "test", "copyA"), emulated("unknown", "strange", "copyB"),
		exact.Step{ID: digest.FromString("copyA"), Kind: "file", Platforms: []string{"linux/amd64"}, Inputs: []digest.Digest{amd64.ID}},
		exact.Step{ID: digest.FromString("copyB"), Kind: "file", Platforms: []string{"linux/arm64"}, Inputs: []digest.Digest{arm64.ID}},
		amd64, arm64, shared,
	)
	p := past(t,
		build{"engine", []exact.Step{shared, amd64, arm64}, []float64{10, 20, 60}},
		build{"engine", []exact.Step{native("last", "test")}, []float64{4}},
	)
	second := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	want := &history.Forecast{
		Builds: 2, Known: 4, Unknown: 1, Total: second(70), Spread: second(17.5),
		Platforms: map[string]history.Estimate{
			"linux/amd64": {Duration: second(34), Spread: second(8.5), From: history.FromExact},
			"linux/arm64": {Duration: second(70), Spread: second(17.5), From: history.FromExact},
		},
		Slowest: "linux/arm64", Dominant: history.Dominant{Step: arm64.ID, Stage: "build", Line: 1, Share: 60.0 / 70},
		Steps: map[digest.Digest]history.Estimate{},
	}
	for step, s := range map[string]float64{"shared": 10, "a": 20, "b": 60, "last": 4} {
		want.Steps[digest.FromString(step)] = history.Estimate{Duration: second(s), Spread: second(s / 4), From: history.FromExact}
	}
	got := p.Forecast(plan, history.ForecastOptions{Builder: "engine", Slots: 2})
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Errorf("forecast (-want +got):\n%s", diff)
	}
	if one := p.Forecast(plan, history.ForecastOptions{Builder: "engine", Slots: 1}); one.Total != second(94) {
		t.Errorf("with one processor it takes %s, want 94s", one.Total)
	}
}

// More processors never make a sum of independent commands slower, one takes all of
// it, and enough of them the longest.
func TestForecastSlots(t *testing.T) {
	var steps []exact.Step
	var seconds []float64
	sum := 0.0
	for i := range 20 {
		steps = append(steps, native(fmt.Sprintf("step %02d", i), fmt.Sprint("make ", i)))
		seconds = append(seconds, float64(1+i*7%11))
		sum += seconds[i]
	}
	p := past(t, build{"engine", steps, seconds})
	before := math.Inf(1)
	for slots := 1; slots <= 20; slots++ {
		got := p.Forecast(planOf(steps...), history.ForecastOptions{Builder: "engine", Slots: slots}).Total.Seconds()
		if got > before || got < sum/float64(slots) {
			t.Errorf("%d processors: %v s after %v s, of %v s in all", slots, got, before, sum)
		}
		if want := map[int]float64{1: sum, 20: 11}[slots]; want != 0 && got != want {
			t.Errorf("%d processors: %v s, want %v s", slots, got, want)
		}
		before = got
	}
}

func ExamplePast_Forecast() {
	step := exact.Step{
		ID: digest.FromString("make"), Kind: "exec", Place: exact.Place{Stage: "build", Line: 7}, Args: []string{"make"},
		ExecPlatform: "linux/arm64", State: exact.StateEmulated, Platforms: []string{"linux/arm64"},
	}
	plan := &exact.Result{Platforms: []string{"linux/arm64"}, Steps: []exact.Step{step}}

	dir, clean := temporary()
	defer clean()
	store := history.Store{Dir: dir}
	project := history.Project(".", "Dockerfile")
	for i, took := range []time.Duration{178 * time.Second, 181 * time.Second, 190 * time.Second} {
		record := history.Record{Time: time.Now(), Build: fmt.Sprint(i), Builder: "engine", Runs: []history.Run{history.RunOf(step, took)}}
		if err := store.Append(project, record); err != nil {
			fmt.Println(err)
		}
	}
	past, err := store.Load(project)
	if err != nil {
		fmt.Println(err)
	}
	f := past.Forecast(plan, history.ForecastOptions{Builder: "engine"})
	fmt.Printf("%s ±%s from %d builds; slowest %s, %.0f%% of it L%d\n",
		f.Total, f.Spread, f.Builds, f.Slowest, 100*f.Dominant.Share, f.Dominant.Line)
	// Output: 3m1s ±3s from 3 builds; slowest linux/arm64, 100% of it L7
}

func BenchmarkForecast(b *testing.B) {
	const stages = 60
	var steps []exact.Step
	var seconds []float64
	for i := range stages {
		inputs := []string{}
		if i > 0 {
			inputs = append(inputs, fmt.Sprint("n", i-1), fmt.Sprint("e", i/2))
		}
		steps = append(steps, native(fmt.Sprint("n", i), fmt.Sprint("make ", i), inputs...), emulated(fmt.Sprint("e", i), fmt.Sprint("make ", i), inputs...))
		seconds = append(seconds, float64(i), float64(10*i))
	}
	var builds []build
	for range 50 {
		builds = append(builds, build{"engine", steps, seconds})
	}
	p := past(b, builds...)
	plan := planOf(steps...)
	b.ReportAllocs()
	for b.Loop() {
		if p.Forecast(plan, history.ForecastOptions{Builder: "engine"}) == nil {
			b.Fatal("no forecast")
		}
	}
}
