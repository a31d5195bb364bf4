package assist

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
)

// Options says what to plan with.
type Options struct {
	// Dockerfile is the text that was planned; required.
	Dockerfile []byte
	// Resolver looks up images; required. It should be that of the plan.
	Resolver exact.Resolver
	// Content reads the layers of images that are compared for the first time. Nil
	// means that only what the cache knows is assisted.
	Content Content
	// Cache is a directory for what comparing images found out. Empty is none.
	Cache string
	// Recipes to use; nil is Default().
	Recipes []Recipe
	// Context is the directory of the build context, empty if it is none.
	Context string
	// NamedContexts are those of the build, as in exact.Options.
	NamedContexts map[string]string
	// Kernel lists the platforms whose programs the builder's kernel starts, with
	// an emulator or without: those that BuildKit's workers report. On others BuildKit
	// puts a QEMU of its own before the command, which cannot start native programs.
	// Empty means all.
	Kernel []ocispec.Platform
	// Logger hears what does not end planning; nil discards.
	Logger *slog.Logger
}

// Result says for every emulated RUN what it gets.
type Result struct {
	Steps []Step // by line

	text   []byte
	edits  []edit
	values map[string]string // of named contexts
}

// Step is an emulated RUN.
type Step struct {
	ID digest.Digest // as in exact.Step
	exact.Place
	Command      string
	Platforms    []string // of the jobs that need it
	ExecPlatform string

	Recipe string // that assists it, empty if none does
	Reason string // why none does
	Note   string // what could not be known
}

// Assisted reports whether a RUN gets native tools.
func (r *Result) Assisted() bool { return len(r.edits) > 0 }

// planning is a plan in the making.
type planning struct {
	opts   Options
	plan   *exact.Result
	file   *file
	build  ocispec.Platform
	result *Result
	pairs  map[string]*offer
}

// offer is what the recipes have for an image on a platform.
type offer struct {
	pair   pairOf
	recipe Recipe
	kit    Kit
	reason string // why nothing

	proven bool
	proof  proof // what comparing the images found out
}

// Plan decides for every emulated RUN of a plan. What stands in the way of native
// tools is in the result, also a registry that cannot be read; an error means that
// the Dockerfile cannot be read, or is the cause of ctx.
func Plan(ctx context.Context, plan *exact.Result, opts Options) (*Result, error) {
	if opts.Recipes == nil {
		opts.Recipes = Default()
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	result := &Result{text: opts.Dockerfile, values: make(map[string]string)}
	if !slices.ContainsFunc(plan.Steps, emulated) {
		return result, nil
	}
	if opts.Resolver == nil {
		return nil, errors.New("planning native tools: no resolver for base images; set Options.Resolver")
	}
	file, err := parseFile(opts.Dockerfile)
	if err != nil {
		return nil, fmt.Errorf("planning native tools: %w", err)
	}
	build, err := platforms.Parse(plan.BuildPlatform)
	if err != nil {
		return nil, fmt.Errorf("planning native tools: %w", err)
	}
	p := &planning{
		opts: opts, plan: plan, file: file, build: platforms.Normalize(build),
		result: result, pairs: make(map[string]*offer),
	}
	for _, step := range plan.Steps {
		if !emulated(step) {
			continue
		}
		decided, err := p.decide(ctx, step)
		if err != nil {
			return nil, err
		}
		p.result.Steps = append(p.result.Steps, decided)
	}
	return p.result, nil
}

func emulated(step exact.Step) bool {
	return step.Kind == "exec" && step.Line > 0 && step.State == exact.StateEmulated
}

// decide plans one step.
func (p *planning) decide(ctx context.Context, step exact.Step) (Step, error) {
	decided := Step{
		ID: step.ID, Place: step.Place, Command: step.Command, Platforms: step.Platforms, ExecPlatform: step.ExecPlatform,
	}
	if decided.Reason = p.obstacle(step); decided.Reason != "" {
		return decided, nil
	}
	// The step is the same in every job that needs it, and so must be its mounts.
	c := p.chain(step, step.Platforms[0])
	if c.reason != "" {
		decided.Reason = c.reason
		return decided, nil
	}
	o, err := p.offer(ctx, c.image, step.ExecPlatform)
	if err != nil {
		return decided, err
	}
	if o.recipe == nil {
		decided.Reason = o.reason
		return decided, nil
	}
	verdict := p.judge(c, step, o)
	decided.Note = verdict.Note
	var part string
	if decided.Reason = verdict.Reason; decided.Reason == "" && !verdict.Use {
		decided.Reason = fmt.Sprintf("it does not use what recipe %s makes faster", o.recipe.Name())
	}
	if decided.Reason == "" {
		// Last, since it may have to read layers.
		if !o.proven {
			if o.proof, err = p.prove(ctx, o.recipe, o.kit, o.pair); err != nil {
				return decided, err
			}
			o.proven = true
		}
		part, decided.Reason = o.proof.best(verdict.Parts)
	}
	if decided.Reason != "" {
		decided.Note = ""
		return decided, nil
	}
	decided.Recipe = o.recipe.Name()
	return decided, p.add(step, o, part)
}

// obstacle says what about a step, whatever it does, keeps it from being edited.
func (p *planning) obstacle(step exact.Step) string {
	if p.plan.Approximate {
		return fmt.Sprintf("the frontend %s decides what it means", p.plan.Syntax)
	}
	if reason := oldFrontend(p.plan.Syntax); reason != "" {
		return reason
	}
	exec, err := platforms.Parse(step.ExecPlatform)
	if err != nil {
		return "its platform is unknown"
	}
	if exec = platforms.Normalize(exec); exec.OS != p.build.OS {
		return fmt.Sprintf("it runs on %s", exec.OS)
	}
	if len(p.opts.Kernel) > 0 && !planner.Runnable(p.opts.Kernel, exec) {
		return fmt.Sprintf("the builder's kernel has no handler for %s, so programs of both platforms cannot run side by side", step.ExecPlatform)
	}
	for _, place := range slices.Concat([]exact.Place{step.Place}, step.Also) {
		if p.file.run(place.Line) == nil {
			return "it is no RUN of this file (ONBUILD of a base)"
		}
	}
	return ""
}

// oldFrontend says that a frontend does not know named contexts.
func oldFrontend(syntax string) string {
	at := strings.LastIndex(syntax, ":")
	if at < 0 || strings.Contains(syntax[at:], "/") {
		return ""
	}
	tag, _, _ := strings.Cut(syntax[at+1:], "@")
	var major, minor int
	if n, _ := fmt.Sscanf(tag, "%d.%d", &major, &minor); n == 2 && major == 1 && minor < 4 {
		return fmt.Sprintf("the frontend %s is older than 1.4 and has no named contexts", syntax)
	}
	return ""
}

// offer finds a recipe for an image.
func (p *planning) offer(ctx context.Context, ref, platform string) (*offer, error) {
	key := ref + " " + platform
	if known, ok := p.pairs[key]; ok {
		return known, nil
	}
	o := &offer{}
	p.pairs[key] = o
	base, err := p.opts.Resolver.Resolve(ctx, planner.CompleteReference(ref))
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		o.reason = fmt.Sprintf("%s cannot be looked up", ref)
		p.opts.Logger.DebugContext(ctx, "planning native tools", "ref", ref, "error", err)
		return o, nil
	}
	if o.reason, err = p.findPair(ctx, base, ref, platform, &o.pair); err != nil || o.reason != "" {
		return o, err
	}
	o.reason = fmt.Sprintf("no recipe knows %s", ref)
	for _, recipe := range p.opts.Recipes {
		kit, err := recipe.Find(o.pair.Pair)
		switch {
		case errors.Is(err, ErrUnknownImage):
			continue
		case err != nil:
			o.reason = err.Error()
			return o, nil
		}
		if err := kit.validate(); err != nil {
			o.reason = err.Error()
			return o, nil
		}
		o.recipe, o.kit, o.reason = recipe, kit, ""
		return o, nil
	}
	return o, nil
}

// findPair reads what the two images say about themselves.
func (p *planning) findPair(ctx context.Context, base *exact.Base, ref, platform string, pair *pairOf) (reason string, err error) {
	target, native := -1, -1
	for i, m := range base.Manifests {
		if m.Platform == nil {
			continue
		}
		if planner.FormatPlatform(*m.Platform) == platform && target < 0 {
			target = i
		}
		if planner.FormatPlatform(*m.Platform) == planner.FormatPlatform(p.build) ||
			native < 0 && m.Platform.Architecture == p.build.Architecture && planner.Runnable([]ocispec.Platform{p.build}, *m.Platform) {
			native = i
		}
	}
	switch {
	case target < 0:
		return fmt.Sprintf("%s does not list an image for %s", ref, platform), nil
	case native < 0:
		return fmt.Sprintf("%s has no image for the builder's platform %s", ref, p.plan.BuildPlatform), nil
	}
	*pair = pairOf{ref: ref, target: base.Manifests[target], native: base.Manifests[native]}
	for _, side := range []struct {
		image *Image
		desc  ocispec.Descriptor
	}{{&pair.Target, pair.target}, {&pair.Native, pair.native}} {
		body, err := p.opts.Resolver.Config(ctx, planner.CompleteReference(ref), side.desc)
		if err != nil {
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
			return fmt.Sprintf("the configuration of %s cannot be read", ref), nil //nolint:nilerr // the build goes on without
		}
		var config ocispec.Image
		if err := json.Unmarshal(body, &config); err != nil {
			return fmt.Sprintf("the configuration of %s cannot be read", ref), nil //nolint:nilerr // as above
		}
		if config.Architecture != side.desc.Platform.Architecture || config.OS != side.desc.Platform.OS {
			return fmt.Sprintf("%s lists an image for %s that says of itself to be for %s/%s", ref, planner.FormatPlatform(*side.desc.Platform), config.OS, config.Architecture), nil
		}
		*side.image = Image{
			Ref: pinned(ref, side.desc.Digest), Digest: side.desc.Digest, Platform: platforms.Normalize(*side.desc.Platform),
			Env: environment(config.Config.Env), Dir: config.Config.WorkingDir,
		}
	}
	return "", nil
}

func environment(list []string) map[string]string {
	env := make(map[string]string, len(list))
	for _, item := range list {
		name, value, _ := strings.Cut(item, "=")
		env[name] = value
	}
	return env
}
