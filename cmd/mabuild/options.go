package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/mabuild/mabuild/builder/engine"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/progress"
	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/pin"
)

// options checks the command line before anything is started.
func (f *buildFlags) options(contextDir string) (buildOptions, error) {
	o := buildOptions{
		context: contextDir, dockerfile: f.file, platforms: f.platforms,
		noCache: f.noCache, pull: f.pull, metadataFile: f.metadataFile, reportFile: f.reportFile, iidFile: f.iidFile,
		retries: f.retries, idleTimeout: f.idleTimeout, allow: f.allow,
		connection: connection{node: f.node, engineConfig: f.engineConfig, toolsImages: f.toolsImages},
	}
	for _, check := range []func(*buildOptions) error{f.values, f.inputs.options, f.modes, f.results, f.numbers} {
		if err := check(&o); err != nil {
			return o, err
		}
	}
	return o, o.checkContext()
}

// values reads what is given as NAME=VALUE.
func (f *buildFlags) values(o *buildOptions) (err error) {
	args, err := platformPairs("--build-arg", f.buildArgs, os.LookupEnv)
	if err != nil {
		return err
	}
	if o.inputs.labels, err = platformPairs("--label", f.labels, nil); err != nil {
		return err
	}
	targets := byPlatform(f.inputs.targets)
	o.args, o.labels, o.inputs.overrides = args[""], o.inputs.labels[""], override(args, targets)
	if all := targets[""]; len(all) > 0 {
		o.target = all[len(all)-1]
	}
	if o.contexts, err = pairs("--build-context", f.contexts, nil); err != nil {
		return err
	}
	for name, value := range o.contexts {
		if value == "" {
			return usagef("--build-context %s has no value; write %s=DIRECTORY or %s=docker-image://REF", name, name, name)
		}
	}
	return nil
}

// modes reads the words that choose a way of doing something.
func (f *buildFlags) modes(o *buildOptions) (err error) {
	if f.quiet {
		f.progress = string(progress.Quiet)
	}
	if o.progress, err = progress.ParseMode(f.progress); err != nil {
		return &usageError{err}
	}
	if o.emulation, err = engine.ParseWay(f.emulation); err != nil {
		return &usageError{err}
	}
	if o.node != "" && o.emulation != engine.Auto {
		return usagef("--emulation is about the built-in engine; the BuildKit daemon of --node has handlers of its own")
	}
	if o.preflight, err = parsePreflight(f.preflight); err != nil {
		return err
	}
	if o.verify, err = f.verify.options(); err != nil {
		return err
	}
	if o.recipes, err = assist.Parse(f.assist); err != nil {
		return &usageError{err}
	}
	for _, spec := range f.pins {
		p, err := pin.Parse(spec)
		if err != nil {
			return &usageError{err}
		}
		o.pins = append(o.pins, p)
	}
	return nil
}

// results reads where the result goes, and under which names.
func (f *buildFlags) results(o *buildOptions) (err error) {
	if o.outputs, err = f.parseOutputs(); err != nil {
		return err
	}
	o.toDocker = f.load
	names := slices.Clone(f.tags)
	for _, spec := range o.outputs {
		names = append(names, spec.Names...)
	}
	for _, name := range names {
		ref, err := reference.ParseDockerRef(name)
		if err != nil {
			return usagef("the name %q is not valid: %w", name, err)
		}
		if _, ok := ref.(reference.Digested); ok {
			return usagef("the name %q has a digest; a result gets a tag", name)
		}
		o.names = append(o.names, ref.String())
	}
	if slices.ContainsFunc(o.outputs, func(s output.Spec) bool { return s.Push }) && len(o.names) == 0 {
		return usagef("pushing needs a name: add -t REGISTRY/NAME:TAG")
	}
	return nil
}

func (f *buildFlags) numbers(o *buildOptions) error {
	if f.retries < 0 || f.idleTimeout < 0 {
		return usagef("--retry-emulated and --idle-timeout cannot be negative")
	}
	var err error
	o.jobs, err = f.jobs.options()
	return err
}

// parseOutputs reads -o, --push and --load.
func (f *buildFlags) parseOutputs() ([]output.Spec, error) {
	var specs []output.Spec
	for _, text := range f.outputs {
		spec, err := output.Parse(text)
		if err != nil {
			return nil, err
		}
		specs = append(specs, spec)
	}
	image := func(s output.Spec) bool { return s.Type == output.Image }
	if f.push {
		if !slices.ContainsFunc(specs, image) {
			specs = append(specs, output.Spec{Type: output.Image})
		}
		for i := range specs {
			specs[i].Push = specs[i].Push || image(specs[i])
		}
	}
	kept := func(s output.Spec) bool { return image(s) && !s.Push }
	if len(specs) == 0 || f.load && !slices.ContainsFunc(specs, kept) {
		specs = append(specs, output.Spec{Type: output.Image}) // Docker gets it from the image store
	}
	return specs, checkOutputs(specs)
}

// checkOutputs refuses what one build cannot make.
func checkOutputs(specs []output.Spec) error {
	var first *output.Spec
	layouts := 0
	dest := make(map[string]bool)
	for i, spec := range specs {
		where := spec.Dest // a path, standard output, or the store and registries
		if where == "" {
			where = fmt.Sprint(spec.Type, spec.Push)
		}
		if dest[where] {
			return usagef("two outputs go to the same place, %q; leave one away", where)
		}
		dest[where] = true
		if spec.Directory || spec.Type == output.Image && !spec.Push {
			layouts++
		}
		if layouts > 1 {
			return usagef("one build fills one image layout, but there are two, the image store and directories of type=oci,tar=false; leave one away, or make an archive")
		}
		if spec.Type != output.Image && spec.Type != output.OCI {
			continue
		}
		if first == nil {
			first = &specs[i]
		} else if !maps.Equal(first.Attrs, spec.Attrs) {
			return usagef("outputs of one build are the same image, but type=%s and type=%s have different attributes; build again for the other one, all steps are in the cache", first.Type, spec.Type)
		}
	}
	return nil
}

// pairs reads NAME=VALUE items; an item without "=" is looked up, and left out
// when there is no such thing.
func pairs(flag string, items []string, lookup func(string) (string, bool)) (map[string]string, error) {
	values := map[string]string{}
	for _, item := range items {
		name, value, ok := strings.Cut(item, "=")
		switch {
		case name == "":
			return nil, usagef("%s %q has no name; write NAME=VALUE", flag, item)
		case ok:
			values[name] = value
		case lookup == nil:
			values[name] = ""
		default:
			if value, ok := lookup(name); ok {
				values[name] = value
			}
		}
	}
	return values, nil
}
