package main

import (
	"os"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/builder/engine"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/progress"
	"github.com/mabuild/mabuild/planner/pin"
)

// options checks the command line before anything is started.
func (f *buildFlags) options(contextDir string) (buildOptions, error) {
	o := buildOptions{
		context: contextDir, dockerfile: f.file, platforms: f.platforms,
		noCache: f.noCache, pull: f.pull, metadataFile: f.metadataFile, reportFile: f.reportFile, iidFile: f.iidFile, resultsFile: f.resultsFile,
		retries: f.retries, idleTimeout: f.idleTimeout, allow: f.allow,
		connection: connection{node: f.node, engineConfig: f.engineConfig, toolsImages: f.toolsImages},
	}
	for _, check := range []func(*buildOptions) error{f.values, f.inputs.options, f.modes, f.results, f.numbers, f.shards.options} {
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
		if f.progress != string(progress.Auto) && f.progress != string(progress.Quiet) {
			return usagef("-q and --progress=%s contradict each other; leave one away", f.progress)
		}
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
	if o.assist, err = parseAssist(f.assist); err != nil {
		return err
	}
	if o.noAccounting, err = parseAccounting(f.accounting); err != nil {
		return err
	}
	if o.assistVerify, err = f.parseAssistVerify(); err != nil {
		return err
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
	if err := o.nameOutputs(f.tags); err != nil {
		return err
	}
	if f.iidFile != "" && !slices.ContainsFunc(o.outputs, isImage) {
		return usagef("--iidfile is about an image, and the outputs are files; leave it away, or add an output that is an image, like -o type=oci,dest=FILE")
	}
	if err := o.annotateOutputs(); err != nil {
		return err
	}
	return o.checkOutputs()
}

// annotateOutputs takes over annotations that are given with -o. All images of a build
// have the same.
func (o *buildOptions) annotateOutputs() error {
	images := slices.DeleteFunc(slices.Clone(o.outputs), func(s output.Spec) bool { return !isImage(s) })
	for i, spec := range images {
		if i > 0 && !slices.Equal(spec.Annotations, images[0].Annotations) {
			return usagef("the outputs have different annotations; all images of a build have the same, so give them by --annotation")
		}
	}
	if len(images) == 0 {
		return nil
	}
	given, err := parseAnnotations(images[0].Annotations)
	o.inputs.annotations = append(o.inputs.annotations, given...)
	return err
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
	if f.load && !slices.ContainsFunc(specs, isLoaded) {
		specs = append(specs, output.Spec{Type: output.Docker, Attrs: loadAttrs(specs)})
	}
	if len(specs) == 0 {
		specs = []output.Spec{{Type: output.Image}}
	}
	return specs, nil
}

// loadAttrs are those of the image that --load loads: what is kept, or else what is
// made first.
func loadAttrs(specs []output.Spec) map[string]string {
	for _, wanted := range []func(output.Spec) bool{isStored, isImage} {
		if i := slices.IndexFunc(specs, wanted); i >= 0 {
			return specs[i].Attrs
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
