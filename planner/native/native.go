package native

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/pin"
)

// Options says what to run natively.
type Options struct {
	// Pins are stages to move to the build platform.
	Pins []pin.Pin

	// Recipes assist emulated commands; none means that they stay as they are.
	Recipes []assist.Recipe

	// Content, Cache and Kernel are as in assist.Options.
	Content assist.Content
	Cache   string
	Kernel  []ocispec.Platform

	// Logger hears what does not end planning; nil discards.
	Logger *slog.Logger
}

// Result is a plan and what has to be sent for it.
type Result struct {
	// Plan is that of what is sent.
	Plan *exact.Result

	// Dockerfile is what Plan is about, as far as all platforms agree: with the pins,
	// without native tools.
	Dockerfile []byte

	// Edits are what jobs send instead of the Dockerfile, by platform as in
	// exact.Result.Platforms. Jobs that send the Dockerfile itself are missing.
	Edits map[string]exact.Edit

	// Assists says of every emulated command what it gets. Their IDs are those of the
	// plan.
	Assists []assist.Step

	pins []pin.Pin
}

// Pinned is the Dockerfile with the pins, as far as all platforms agree about it. It
// is what everything that looks at stages has to look at.
func Pinned(dockerfile []byte, pins []pin.Pin, wanted []ocispec.Platform) ([]byte, error) {
	if len(pins) == 0 {
		return dockerfile, nil
	}
	platform := platforms.DefaultSpec()
	if len(wanted) > 0 {
		platform = wanted[0]
	}
	return pin.Apply(dockerfile, pins, platform)
}

// Plan makes the plan. The Dockerfile in the options is as it is written; their Edits
// are not used.
func Plan(ctx context.Context, base exact.Options, opts Options) (*Result, error) {
	written := base.Dockerfile
	result := &Result{pins: opts.Pins}
	var err error
	if base.Dockerfile, err = Pinned(written, opts.Pins, base.Platforms); err != nil {
		return nil, err
	}
	result.Dockerfile = base.Dockerfile
	if result.Edits, err = edits(written, base.Platforms, opts.Pins, nil); err != nil {
		return nil, err
	}
	base.Edits = result.Edits
	if result.Plan, err = exact.Plan(ctx, base); err != nil || len(opts.Recipes) == 0 {
		return result, err
	}
	assistance, err := assist.Plan(ctx, result.Plan, assist.Options{
		Dockerfile: written, Resolver: base.Resolver, Content: opts.Content, Cache: opts.Cache, Recipes: opts.Recipes,
		Context: directory(base), NamedContexts: base.NamedContexts, Kernel: opts.Kernel, Logger: opts.Logger,
	})
	if err != nil {
		return nil, err
	}
	result.Assists = assistance.Steps
	if !assistance.Assisted() {
		return result, nil
	}
	if result.Edits, err = edits(written, base.Platforms, opts.Pins, assistance); err != nil {
		return nil, err
	}
	base.Edits = result.Edits
	if result.Plan, err = exact.Plan(ctx, base); err != nil {
		return nil, err
	}
	result.rename()
	return result, nil
}

// directory is the build context if it is one.
func directory(o exact.Options) string {
	if o.Remote != nil && strings.Contains(o.Context, "://") {
		return ""
	}
	return o.Context
}

// edits makes what every job sends.
func edits(written []byte, wanted []ocispec.Platform, pins []pin.Pin, assistance *assist.Result) (map[string]exact.Edit, error) {
	all := make(map[string]exact.Edit)
	for _, platform := range wanted {
		name := planner.FormatPlatform(platform)
		edit := exact.Edit{Text: written}
		changed := len(pins) > 0
		if assistance != nil {
			assisted, err := assistance.Apply(name)
			if err != nil {
				return nil, err
			}
			edit = exact.Edit{Text: assisted.Text, Contexts: assisted.Contexts, Secrets: assisted.Secrets}
			changed = changed || assisted.Changed
		}
		if !changed {
			continue
		}
		if len(pins) > 0 {
			var err error
			if edit.Text, err = pin.Apply(edit.Text, pins, platform); err != nil {
				return nil, err
			}
		}
		all[name] = edit
	}
	return all, nil
}

// rename gives the decisions the IDs that the steps have with native tools.
func (r *Result) rename() {
	type place struct {
		line           int
		platform, exec string
	}
	ids := make(map[place]digest.Digest)
	for _, s := range r.Plan.Steps {
		for _, platform := range s.Platforms {
			if s.State != "" {
				ids[place{s.Line, platform, s.ExecPlatform}] = s.ID
			}
		}
	}
	for i := range r.Assists {
		s := &r.Assists[i]
		if id, ok := ids[place{s.Line, s.Platforms[0], s.ExecPlatform}]; ok {
			s.ID = id
		}
	}
}

// Copied returns globs of what the image has from stages that were moved or
// assisted, as exact.Result.Copied does.
func (r *Result) Copied() []string {
	edited := make(map[string]bool)
	for _, p := range r.pins {
		edited[strings.ToLower(p.Stage)] = true
		if number, err := strconv.Atoi(p.Stage); err == nil && number < len(r.Plan.Stages) {
			edited[strings.ToLower(r.Plan.Stages[number].Name)] = true
		}
	}
	for _, s := range r.Assists {
		if s.Recipe != "" {
			edited[strings.ToLower(s.Stage)] = true
		}
	}
	if len(edited) == 0 {
		return nil
	}
	return r.Plan.Copied(func(stage string) bool { return edited[strings.ToLower(stage)] })
}

// Wrote reports whether an assisted command wrote a layer of a platform's image, by
// the text that the image's history has for it.
func (r *Result) Wrote(platform ocispec.Platform, createdBy string) bool {
	name := planner.FormatPlatform(platform)
	assisted := make(map[digest.Digest]bool)
	for _, s := range r.Assists {
		assisted[s.ID] = s.Recipe != ""
	}
	return slices.ContainsFunc(r.Plan.Steps, func(s exact.Step) bool {
		last := len(s.Args) - 1 // what the shell gets
		return assisted[s.ID] && last >= 0 && slices.Contains(s.Platforms, name) && strings.Contains(createdBy, s.Args[last])
	})
}
