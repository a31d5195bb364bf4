package main

import (
	"os"
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
	if o.output, err = f.output(); err != nil {
		return err
	}
	for _, name := range append(f.tags, o.output.Names...) {
		ref, err := reference.ParseDockerRef(name)
		if err != nil {
			return usagef("the name %q is not valid: %w", name, err)
		}
		if _, ok := ref.(reference.Digested); ok {
			return usagef("the name %q has a digest; a result gets a tag", name)
		}
		o.names = append(o.names, ref.String())
	}
	if o.output.Push && len(o.names) == 0 {
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

func (f *buildFlags) output() (output.Spec, error) {
	spec := output.Spec{Type: output.Image}
	if len(f.outputs) > 1 {
		return spec, usagef("several outputs at once are not supported yet; give one -o")
	}
	if len(f.outputs) == 1 {
		var err error
		if spec, err = output.Parse(f.outputs[0]); err != nil {
			return spec, err
		}
		if f.push && spec.Type != output.Image {
			return spec, usagef("--push and -o type=%s cannot be combined; push the result later with mabuild push", spec.Type)
		}
	}
	spec.Push = spec.Push || f.push
	return spec, nil
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
