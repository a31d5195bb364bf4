package exact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"

	"github.com/mabuild/mabuild/planner"
)

// plan is a plan in the making.
type plan struct {
	opts     Options
	contexts *sources
	images   *images
	stages   []instructions.Stage
	globals  []instructions.ArgCommand
	linked   [][]link // of every stage
	escape   rune
	lines    []string // of the Dockerfile
	jobs     []*job
}

// job is the conversion for one platform.
type job struct {
	planner.Job
	name   string                // of the platform
	stages map[int]planner.Stage // by number, more than are reached if possible
	images []planner.Image       // of the reached stages, or of all
	ops    []*operation          // inputs first
	reach  map[int]bool          // numbers of the stages that are reached
	exec   map[int]string        // platforms that stages execute on, by number

	byStage  map[int][]*operation // by the first place
	declared []declaration        // ARGs with a default
	warnings []Finding            // of BuildKit's own rules
}

// Plan converts the Dockerfile as BuildKit does, once per platform, and says
// what the outcome means. It needs no builder; images are looked up with the
// resolver. Mistakes in the Dockerfile are errors of type *planner.Error; what
// is wrong with images is in the result's findings.
//
// Plan keeps no state and may be called concurrently.
func Plan(ctx context.Context, opts Options) (*Result, error) {
	opts, err := opts.complete()
	if err != nil {
		return nil, err
	}
	if opts.Dockerfile == nil && opts.DockerfileDir == "" && opts.remoteContext() {
		if opts.Dockerfile, err = opts.readDockerfile(ctx); err != nil {
			return nil, err
		}
	}
	p := &plan{opts: opts}
	if err := p.parse(); err != nil {
		return nil, err
	}
	if p.contexts, err = openContexts(opts.NamedContexts); err != nil {
		return nil, err
	}
	p.images = newImages(opts.Resolver, p.contexts.layouts)
	if err := p.convertAll(ctx); err != nil {
		return nil, err
	}
	if err := p.traceAll(ctx); err != nil {
		return nil, err
	}
	for _, j := range p.jobs {
		p.follow(j)
	}
	return p.result(ctx)
}

// result puts together what has been found out.
func (p *plan) result(ctx context.Context) (*Result, error) {
	r := &Result{BuildPlatform: planner.FormatPlatform(p.opts.BuildPlatform), Target: p.jobs[0].Target, Steps: p.steps()}
	for _, j := range p.jobs {
		r.Platforms = append(r.Platforms, j.name)
	}
	r.Syntax, r.Approximate = planner.Syntax(p.opts.Dockerfile, p.opts.Args)
	var err error
	if r.Stages, err = p.graph(ctx); err != nil {
		return nil, err
	}
	if r.Findings, err = p.findings(ctx); err != nil {
		return nil, err
	}
	r.Bases = slices.DeleteFunc(p.images.used(), func(b UsedBase) bool {
		for _, edit := range p.opts.Edits {
			if edit.mounts(b.Ref) {
				return true // of the edit, not of the Dockerfile
			}
		}
		return false
	})
	return r, nil
}

// parse reads the Dockerfile for everything that needs no image.
func (p *plan) parse() error {
	expanded, err := planner.Expand(p.opts.Dockerfile, p.opts.planning())
	if err != nil {
		return p.foreign(err)
	}
	everything := p.opts.planning()
	everything.AllStages = true
	all, err := planner.Expand(p.opts.Dockerfile, everything)
	switch {
	case err == nil:
	case p.opts.AllStages:
		return p.foreign(err)
	default:
		all = expanded // a mistake where nobody goes
	}
	parsed, err := parser.Parse(bytes.NewReader(p.opts.Dockerfile))
	if err != nil {
		return p.located(err)
	}
	p.stages, p.globals, err = instructions.Parse(parsed.AST, linter.New(&linter.Config{SkipAll: true}))
	if err != nil {
		return p.located(err)
	}
	p.lines = strings.Split(string(p.opts.Dockerfile), "\n")
	for i := range p.stages {
		p.linked = append(p.linked, p.links(i))
	}
	for i, planned := range expanded.Jobs {
		j := &job{
			Job: planned, name: planner.FormatPlatform(planned.Platform), images: planned.Images,
			stages: make(map[int]planner.Stage), exec: make(map[int]string), byStage: make(map[int][]*operation),
		}
		for _, s := range all.Jobs[i].Stages {
			j.stages[p.stageIndex(s.Line)] = s
		}
		if p.opts.AllStages {
			j.images = all.Jobs[i].Images
		}
		p.jobs = append(p.jobs, j)
	}
	p.escape = parsed.EscapeToken
	return p.checkGrowth()
}

// foreign adds to an error that the file is written for another frontend.
func (p *plan) foreign(err error) error {
	if ref, approximate := planner.Syntax(p.opts.Dockerfile, p.opts.Args); approximate {
		return fmt.Errorf("planning for the frontend %s with the builtin one: %w", ref, err)
	}
	return err
}

// largeFile is how many lines make a Dockerfile that is converted for one
// platform at a time, since a conversion takes some 10 KiB for each.
const largeFile = 5000

// convertAll converts the Dockerfile for every platform, some at a time.
func (p *plan) convertAll(ctx context.Context) error {
	failed := make([]error, len(p.jobs))
	atOnce := runtime.GOMAXPROCS(0)
	if len(p.lines) > largeFile {
		atOnce = 1
	}
	slots := make(chan struct{}, atOnce)
	var group sync.WaitGroup
	for i, j := range p.jobs {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if failed[i] = context.Cause(ctx); failed[i] == nil {
				failed[i] = p.convert(ctx, j)
			}
		})
	}
	group.Wait()
	for i, err := range failed {
		if err != nil {
			return fmt.Errorf("planning for %s: %w", p.jobs[i].name, err)
		}
	}
	return nil
}

// convert runs the frontend for one platform.
func (p *plan) convert(ctx context.Context, j *job) error {
	client, err := dockerui.NewClient(p.gateway(j))
	if err != nil {
		return fmt.Errorf("reading the build options: %w", err)
	}
	source, err := client.ReadEntrypoint(ctx, "Dockerfile")
	if err != nil {
		return fmt.Errorf("reading %s: %w", p.opts.Filename, err)
	}
	checks, err := p.buildkitChecks(client.LinterConfig)
	if err != nil {
		return err
	}
	client.LinterConfig = &checks.config
	converted, err := dockerfile2llb.Dockerfile2LLB(ctx, source.Data, dockerfile2llb.ConvertOpt{
		Config: client.Config, Client: client, SourceMap: source.SourceMap, Warn: checks.warn,
		MetaResolver: client.GatewayClient(), TargetPlatform: &j.Platform, AllStages: p.opts.AllStages,
	})
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return p.foreign(p.located(err))
	}
	j.warnings = checks.findings
	def, err := converted.State.Marshal(ctx)
	if err != nil {
		return p.located(err)
	}
	return p.decode(j, def)
}

// gateway makes the builder that the frontend sees.
func (p *plan) gateway(j *job) *gateway {
	filename := path.Base(filepath.ToSlash(p.opts.Filename))
	options := maps.Clone(p.opts.Attrs)
	if options == nil {
		options = make(map[string]string)
	}
	options["filename"], options["platform"], options["target"] = filename, j.name, j.Target
	if p.opts.Pull {
		options["image-resolve-mode"] = pb.AttrImageResolveModeForcePull
	}
	for name, value := range j.Args {
		options["build-arg:"+name] = value
	}
	for name, value := range p.contexts.values {
		options["context:"+name] = value
	}
	dirs := maps.Clone(p.contexts.dirs)
	dirs["dockerfile"] = p.opts.DockerfileDir
	switch {
	case !p.opts.remoteContext():
		dirs["context"] = p.opts.Context
	case p.opts.DockerfileDir != "": // on this machine
		options["context"], options["dockerfilekey"] = p.opts.Context, dockerui.DefaultLocalNameDockerfile
	default:
		filename = p.opts.inContext()
		options["context"], options["filename"] = p.opts.Context, filename
	}
	text := p.opts.Dockerfile
	if edit, ok := p.opts.Edits[j.name]; ok {
		text = edit.Text
		for name, value := range edit.Contexts {
			options["context:"+name] = value
		}
		if p.opts.remoteContext() { // an edit comes from this machine
			options["dockerfilekey"] = dockerui.DefaultLocalNameDockerfile
		}
	}
	return &gateway{
		remote: p.opts.Remote, options: options, session: p.opts.SessionID, build: p.opts.BuildPlatform, images: p.images, dirs: dirs,
		dockerfile: file{name: filename, text: text},
	}
}

// located gives an error of BuildKit its place.
func (p *plan) located(err error) error {
	var loc *parser.LocationError
	if !errors.As(err, &loc) {
		return &planner.Error{File: p.opts.Filename, Err: err}
	}
	located := &planner.Error{File: p.opts.Filename, Err: err}
	if len(loc.Locations) > 0 {
		located.Line = planner.FirstLine(loc.Locations[0])
		located.Stage = p.stageAt(located.Line)
	}
	return located
}

// stageAt returns the name of the stage that a line belongs to.
func (p *plan) stageAt(line int) string {
	if i := p.stageIndex(line); i >= 0 {
		return stageName(p.stages[i], i)
	}
	return ""
}

func (p *plan) stageIndex(line int) int {
	i, found := slices.BinarySearchFunc(p.stages, line, func(s instructions.Stage, line int) int {
		return planner.FirstLine(s.Location) - line
	})
	if found {
		return i
	}
	return i - 1
}

func stageName(s instructions.Stage, i int) string {
	if s.Name != "" {
		return s.Name
	}
	return fmt.Sprintf("stage-%d", i)
}

// source returns the text of some lines.
func (p *plan) source(from, to int) string {
	from, to = max(from-1, 0), min(to, len(p.lines))
	if from >= to {
		return ""
	}
	return strings.Join(p.lines[from:to], "\n")
}
