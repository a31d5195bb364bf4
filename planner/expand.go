package planner

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/buildkit/util/suggest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Expand plans a Dockerfile for every platform in opts. It needs no builder
// and no network. Errors are of type *Error, or *PlatformError for a platform
// in opts without operating system or architecture.
//
// Expand keeps no state and may be called concurrently.
func Expand(text []byte, opts Options) (*Plan, error) {
	opts, err := opts.complete()
	if err != nil {
		return nil, err
	}
	d, err := parse(text, opts.Filename)
	if err != nil {
		return nil, err
	}
	plan := &Plan{}
	for _, platform := range opts.Platforms {
		own := opts.For(platform)
		target, err := d.find(own.Target)
		if err != nil {
			return nil, err
		}
		if number, err := strconv.Atoi(own.Target); err == nil && number == target {
			own.Target = d.stages[target].alias
		}
		job, err := d.job(platform, target, own)
		if err != nil {
			return nil, err
		}
		plan.Jobs = append(plan.Jobs, job)
	}
	return plan, nil
}

// complete fills in defaults and normalises the platforms.
func (o Options) complete() (Options, error) {
	if o.Filename == "" {
		o.Filename = "Dockerfile"
	}
	if o.BuildPlatform.OS == "" && o.BuildPlatform.Architecture == "" {
		o.BuildPlatform = hostPlatform()
	}
	wanted := o.Platforms
	if len(wanted) == 0 {
		wanted = []ocispec.Platform{o.BuildPlatform}
	}
	for _, platform := range append(slices.Clone(wanted), o.BuildPlatform) {
		if platform.OS == "" || platform.Architecture == "" {
			return o, &PlatformError{
				Item: platforms.FormatAll(platform), Reason: "operating system or architecture is not set", Hint: "write it like " + example,
			}
		}
	}
	o.BuildPlatform = platforms.Normalize(o.BuildPlatform)
	o.Platforms = nil
	seen := make(map[string]bool)
	for _, platform := range wanted {
		platform = platforms.Normalize(platform)
		if key := platforms.FormatAll(platform); !seen[key] {
			seen[key] = true
			o.Platforms = append(o.Platforms, platform)
		}
	}
	return o, nil
}

// find returns the number of the target stage.
func (d *dockerfile) find(target string) (int, error) {
	if target == "" {
		return len(d.stages) - 1, nil
	}
	if i := d.named(target); i >= 0 {
		return i, nil
	}
	fail := func(line int, format string, args ...any) (int, error) {
		return 0, &Error{File: d.name, Line: line, Err: fmt.Errorf(format, args...)}
	}
	if number, err := strconv.Atoi(target); err == nil && number >= 0 && number < len(d.stages) {
		st := d.stages[number]
		switch {
		case st.alias == "" && number < len(d.stages)-1:
			return fail(st.line, "target stage %d has no name and builders take names only; write FROM %s AS NAME", number, st.base)
		case st.alias != "" && d.named(st.alias) != number:
			return fail(st.line, "target stage %d has the name %s, which a later stage takes over; give it another name", number, st.alias)
		}
		return number, nil
	}
	var names []string
	for _, st := range d.stages {
		if st.alias != "" && !slices.Contains(names, st.alias) {
			names = append(names, st.alias)
		}
	}
	if len(names) == 0 {
		return fail(0, "target stage %q does not exist, no stage has a name; write FROM … AS %s", target, strings.ToLower(target))
	}
	near := nearest(strings.ToLower(target), names)
	if near != "" {
		near = fmt.Sprintf(" (did you mean %s?)", near)
	}
	return fail(0, "target stage %q does not exist%s; choose one of: %s", target, near, strings.Join(names, ", "))
}

// named returns the number of the stage that a name stands for outside FROM:
// the last one that has it, or -1.
func (d *dockerfile) named(name string) int {
	name = strings.ToLower(name)
	for i, st := range slices.Backward(d.stages) {
		if st.alias != "" && st.alias == name {
			return i
		}
	}
	return -1
}

// node is a stage as one platform sees it.
type node struct {
	base     string
	parent   int // number of the stage that it is FROM, -1 for an image or scratch
	platform ocispec.Platform
	reached  bool
	work     work
}

// job expands the Dockerfile for one platform.
func (d *dockerfile) job(platform ocispec.Platform, target int, opts Options) (Job, error) {
	lex := shell.NewLex(d.escape)
	args, err := d.globals(lex, platform, opts)
	if err != nil {
		return Job{}, err
	}
	nodes := make([]node, len(d.stages))
	names := make(map[string]int)
	for i, st := range d.stages {
		if nodes[i], err = st.expand(lex, args, opts.BuildPlatform); err != nil {
			return Job{}, &Error{File: d.name, Line: st.line, Stage: st.name, Err: fmt.Errorf("for %s: %w", platforms.FormatAll(platform), err)}
		}
		n := &nodes[i]
		n.parent = -1
		// FROM finds stages before it, by their exact name. What is FROM a
		// stage runs where that stage runs, whatever its own --platform says,
		// and scratch is always of the target platform.
		if parent, ok := names[n.base]; ok {
			n.parent, n.platform = parent, nodes[parent].platform
		} else if n.base == Scratch || n.platform.OS == "" {
			n.platform = platform
		}
		if st.alias != "" {
			names[st.alias] = i
		}
	}
	targets := []int{target}
	if opts.AllStages {
		for i := range nodes {
			targets = append(targets, i)
		}
	}
	if err := d.reach(nodes, targets); err != nil {
		return Job{}, err
	}
	job := Job{Platform: platform, Target: opts.Target, Args: maps.Clone(opts.Args), Globals: args.values}
	for i, n := range nodes {
		if !n.reached {
			continue
		}
		if err := d.collect(&job, i, n); err != nil {
			return Job{}, err
		}
	}
	return job, nil
}

// expand replaces the variables in the operands of FROM. The platform stays
// empty if the stage has none of its own.
func (st stage) expand(lex *shell.Lex, args *scope, build ocispec.Platform) (node, error) {
	base, err := args.expand(lex, st.base)
	if err != nil {
		return node{}, fmt.Errorf("reading FROM %s: %w", st.base, err)
	}
	switch {
	case base.Result == "":
		return node{}, fmt.Errorf("FROM %s is empty: %s", st.base, blame(base, args))
	case strings.Trim(base.Result, "/:@") != base.Result:
		// The rest of the syntax is left to whoever looks the image up; these
		// are what an ARG without a value leaves behind.
		return node{}, fmt.Errorf("FROM %s is the incomplete reference %q: %s", st.base, base.Result, blame(base, args))
	}
	n := node{base: base.Result, work: st.work}
	if st.platform == "" {
		return n, nil
	}
	spec, err := args.expand(lex, st.platform)
	if err != nil {
		return node{}, fmt.Errorf("reading FROM --platform=%s: %w", st.platform, err)
	}
	if spec.Result == "" {
		return node{}, fmt.Errorf("FROM --platform=%s is empty: %s", st.platform, blame(spec, args))
	}
	platform, err := parseFor(build, spec.Result)
	if err != nil {
		return node{}, fmt.Errorf("FROM --platform=%s is no platform: %w; write it like %s", st.platform, err, example)
	}
	n.platform = platforms.Normalize(platform)
	return n, nil
}

// blame says which variable made a word empty and what to do about it.
func blame(word shell.ProcessWordResult, args *scope) string {
	if unknown := slices.Sorted(maps.Keys(word.Unmatched)); len(unknown) > 0 {
		name := unknown[0]
		if near, ok := suggest.Search(name, args.Keys(), true); ok {
			return fmt.Sprintf("ARG %s has no value (did you mean %s?)", name, near)
		}
		return fmt.Sprintf("ARG %s has no value; give it a default in an ARG before the first FROM, or pass --build-arg %s=VALUE", name, name)
	}
	for _, name := range slices.Sorted(maps.Keys(word.Matched)) {
		if args.values[name] == "" {
			return fmt.Sprintf("ARG %s is empty here; choose another variable, or a default as in ${%s:-VALUE}", name, name)
		}
	}
	return "write an image or a stage"
}

// reach marks what the targets need and sets off the ONBUILD triggers on the
// way: those of a stage act in every reached stage that is built FROM it, but
// not in the ones after.
func (d *dockerfile) reach(nodes []node, pending []int) error {
	for len(pending) > 0 {
		i := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		n := &nodes[i]
		if n.reached {
			continue
		}
		n.reached = true
		if n.parent >= 0 {
			pending = append(pending, n.parent)
			parent := d.stages[n.parent]
			if err := d.stages[i].inherit(n, parent.onbuild); err != nil {
				return &Error{
					File: d.name, Line: d.stages[i].line, Stage: d.stages[i].name,
					Err: fmt.Errorf("running ONBUILD of stage %s: %w", parent.name, err),
				}
			}
		}
		for _, src := range n.work.sources {
			if src.stage >= 0 {
				pending = append(pending, src.stage)
			}
		}
	}
	return nil
}

// inherit puts the parent's triggers before the stage's own work.
func (st stage) inherit(n *node, triggers []trigger) error {
	var sources []source
	var steps []int
	for _, t := range triggers {
		if t.err != nil {
			return t.err
		}
		if t.work.runLine > 0 {
			n.work.runLine = st.line
		}
		for range t.work.steps {
			steps = append(steps, st.line)
		}
		for _, src := range t.work.sources {
			src.line = st.line
			sources = append(sources, src)
		}
	}
	n.work.sources = append(sources, st.work.sources...)
	n.work.steps = append(steps, st.work.steps...)
	return nil
}

// collect adds a reached stage and its images to the job.
func (d *dockerfile) collect(job *Job, i int, n node) error {
	st := d.stages[i]
	job.Stages = append(job.Stages, Stage{Name: st.name, Base: n.base, Platform: n.platform, Line: st.line, RunLine: n.work.runLine, Steps: n.work.steps})
	if n.parent < 0 && n.base != Scratch {
		job.Images = append(job.Images, Image{Ref: n.base, Platform: n.platform, Stage: st.name, Line: st.line})
	}
	for _, src := range n.work.sources {
		switch {
		case src.stage > i:
			return &Error{File: d.name, Line: src.line, Stage: st.name, Err: fmt.Errorf(
				"cannot %s from stage %s, which begins later at line %d; move that stage before this one", src.verb, src.name, d.stages[src.stage].line)}
		case src.stage < 0 && src.name != Scratch:
			// Not the platform of this stage: BuildKit asks for the target's.
			job.Images = append(job.Images, Image{Ref: src.name, Platform: job.Platform, Stage: st.name, Line: src.line})
		}
	}
	return nil
}
