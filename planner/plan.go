package planner

import (
	"fmt"
	"maps"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Scratch is the base that is no image.
const Scratch = "scratch"

// Options says what to plan. The zero value plans the last stage for the
// machine that mabuild runs on.
type Options struct {
	// Filename is the Dockerfile's name in errors; empty means "Dockerfile".
	Filename string

	// Platforms to build, one job each. Empty means BuildPlatform alone.
	// Duplicates are dropped.
	Platforms []ocispec.Platform

	// BuildPlatform is the builder's native platform, the value of
	// $BUILDPLATFORM. The zero value means the machine that mabuild runs on.
	BuildPlatform ocispec.Platform

	// Target is the stage to build, by name in any case or by number from 0.
	// Empty means the last stage.
	Target string

	// Args are the values of --build-arg.
	Args map[string]string

	// Overrides are what is different for some platforms, by platform as
	// platforms.FormatAll has it. Those of platforms that are not built are ignored.
	Overrides map[string]Override

	// AllStages reaches every stage of the Dockerfile, also those that the
	// target does not need. Job.Stages then does not end with the target.
	AllStages bool
}

// Override is what one platform's job has instead of what the others have.
type Override struct {
	// Target is the stage to build, empty for that of the others.
	Target string

	// Args are added to those of the others, or replace them.
	Args map[string]string
}

// For returns the options for one platform, whose overrides are in their places.
func (o Options) For(platform ocispec.Platform) Options {
	own, ok := o.Overrides[FormatPlatform(platform)]
	if !ok {
		return o
	}
	if own.Target != "" {
		o.Target = own.Target
	}
	if len(own.Args) > 0 {
		args := maps.Clone(o.Args)
		if args == nil {
			args = make(map[string]string)
		}
		maps.Copy(args, own.Args)
		o.Args = args
	}
	return o
}

// Plan is one Dockerfile for several platforms.
type Plan struct {
	Jobs []Job // in the order of Options.Platforms
}

// Job is what has to be built for one platform.
type Job struct {
	// Platform that the image is for, normalised.
	Platform ocispec.Platform

	// Target is the name to give to BuildKit: a name as it was asked for, the
	// name of the stage that was asked for by number, or empty for the last.
	Target string

	// Args are the build arguments, the job's own copy.
	Args map[string]string

	// Globals is the global scope: the automatic arguments, and every ARG before
	// the first FROM with its value.
	Globals map[string]string

	// Stages that the target needs, in build order; the last one is the
	// target itself. Stages that this platform does not reach are left out.
	Stages []Stage

	// Images that the stages need, one entry per use: the bases, and the
	// images named by COPY --from and RUN --mount=from. Scratch is no image.
	Images []Image
}

// Stage is a FROM of the Dockerfile as one job builds it.
type Stage struct {
	// Name after AS, lower case as BuildKit has it, or "stage-N" with the
	// stage's number, which is how BuildKit's output calls a nameless one.
	Name string

	// Base is the operand of FROM with its variables expanded: an image
	// reference as written, the name of an earlier stage, or Scratch.
	Base string

	// Platform that the commands of this stage run on, normalised.
	Platform ocispec.Platform

	// Line of the FROM.
	Line int

	// RunLine is the line of the first RUN, 0 if there is none. An ONBUILD RUN
	// counts only in a stage that is built FROM its stage; it has the line of
	// that stage's FROM, as in BuildKit.
	RunLine int

	// Steps are the lines of the instructions that become numbered steps of
	// BuildKit's output, in order: ADD, COPY, RUN and WORKDIR. What ONBUILD adds
	// has the line of the FROM. The FROM of an image is a step of its own before
	// them, which is not in the list.
	Steps []int
}

// Runs reports whether building the stage runs commands on its platform.
// COPY, ADD and WORKDIR do not: BuildKit works on the files itself.
func (s Stage) Runs() bool { return s.RunLine > 0 }

// StepLine returns the line of the step that BuildKit calls "[name k/n]", 0 if the
// stage has none such.
func (s Stage) StepLine(k, n int) int {
	// The FROM of an image is counted, that of another stage or of scratch is not.
	if i := k - 1 - (n - len(s.Steps)); i >= 0 && i < len(s.Steps) {
		return s.Steps[i]
	}
	return 0
}

// Image is one use of an image from a registry.
type Image struct {
	Ref      string           // reference, expanded but otherwise as written
	Platform ocispec.Platform // that BuildKit will ask for, normalised
	Stage    string           // Name of the stage that uses it
	Line     int              // line of the FROM, COPY or RUN
}

// Foreign returns the stages that run commands on a platform that is not in
// runnable, in plan order. A stage that several jobs share on the same
// platform is listed once.
//
// Runnable says what counts as being in the list.
func (p *Plan) Foreign(runnable []ocispec.Platform) []Stage {
	var foreign []Stage
	seen := make(map[string]bool)
	for _, job := range p.Jobs {
		for _, stage := range job.Stages {
			if !stage.Runs() || Runnable(runnable, stage.Platform) {
				continue
			}
			key := fmt.Sprintf("%d %s", stage.Line, platforms.FormatAll(stage.Platform))
			if !seen[key] {
				seen[key] = true
				foreign = append(foreign, stage)
			}
		}
	}
	return foreign
}

// Runnable reports whether one of the machines can run the platform's programs:
// its operating system and architecture are the same, with a variant that is
// the same or higher. So amd64/v3 runs amd64, arm/v7 runs arm/v6, arm64 and
// arm64/v8 are one. Nothing else is inferred: 386 has to be listed beside amd64,
// and arm beside arm64, because neither is true of every machine. OS versions
// and features are not compared.
func Runnable(machines []ocispec.Platform, platform ocispec.Platform) bool {
	platform = instructionSet(platform)
	for _, machine := range machines {
		machine = instructionSet(machine)
		// platforms.Only knows which variants include which, but it also lets
		// amd64 run 386 and arm64 run arm, and does not match a variant that
		// it has no table for with itself.
		switch {
		case machine.OS != platform.OS || machine.Architecture != platform.Architecture:
		case platform.Variant == "" || platform.Variant == machine.Variant:
			return true
		case platforms.Only(machine).Match(platform):
			return true
		}
	}
	return false
}

// instructionSet strips a platform to what decides whether code can run.
func instructionSet(platform ocispec.Platform) ocispec.Platform {
	platform = platforms.Normalize(platform)
	return ocispec.Platform{OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant}
}
