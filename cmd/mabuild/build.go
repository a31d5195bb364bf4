package main

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mabuild/mabuild/builder/engine"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/progress"
)

// buildFlags are the command line of a build, as written.
type buildFlags struct {
	platforms    []string
	file         string
	buildArgs    []string
	target       string
	labels       []string
	tags         []string
	push         bool
	outputs      []string
	progress     string
	quiet        bool
	noCache      bool
	pull         bool
	jobs         int
	metadataFile string
	iidFile      string
	engineConfig string
	node         string
	emulation    string
	retries      int
	idleTimeout  time.Duration
	toolsImages  []string
	preflight    string
}

const buildLong = `Build the Dockerfile in CONTEXT for every platform, at the same time, and deliver
one image index.

With --push each image goes to the registry by its digest and the index is
written under every tag as the last step. Without an output the result is kept
in mabuild's image store; mabuild push sends it from there.

mabuild starts the BuildKit that it carries when it is needed. --node, or
BUILDKIT_HOST, uses a BuildKit daemon of your own instead.`

const buildExample = `  mabuild --platform linux/amd64,linux/arm64 -t ghcr.io/me/app:1.2 --push .
  mabuild --platform linux/arm64 -o out .
  mabuild --platform linux/amd64,linux/s390x -t app -o type=oci,dest=app.tar .`

func newBuildCommand() *cobra.Command {
	var flags buildFlags
	cmd := &cobra.Command{
		Use:     "build [flags] CONTEXT",
		Short:   "Build (the default command)",
		Long:    buildLong,
		Example: buildExample,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("the build context is missing; the current directory is `.`: mabuild [flags] .")
			}
			options, err := flags.options(args[0])
			if err != nil {
				return err
			}
			return build(cmd.Context(), options)
		},
	}
	set := cmd.Flags()
	flags.addPlanFlags(set)
	set.StringArrayVar(&flags.labels, "label", nil, "set a label of the images: `NAME=VALUE`")
	set.StringArrayVarP(&flags.tags, "tag", "t", nil, "name of the result: `REF` is REGISTRY/NAME:TAG; may be given several times")
	set.BoolVar(&flags.push, "push", false, "push the result to the registries of its names (same as -o type=registry)")
	set.StringArrayVarP(&flags.outputs, "output", "o", nil, "where the result goes: a directory, or a `SPEC` like type=image|registry|oci|local|tar,dest=…")
	set.StringVar(&flags.progress, "progress", "auto", "`MODE` of showing progress: auto, tty, plain, json, quiet")
	set.BoolVarP(&flags.quiet, "quiet", "q", false, "print the digest alone (same as --progress=quiet)")
	set.BoolVar(&flags.noCache, "no-cache", false, "run every step again")
	set.IntVar(&flags.jobs, "jobs", 0, "build `N` platforms at the same time (default: all)")
	set.StringVar(&flags.metadataFile, "metadata-file", "", "write digests of the result and of every platform to this `FILE`, as JSON")
	set.StringVar(&flags.iidFile, "iidfile", "", "write the image's ID to this `FILE`")
	set.StringVar(&flags.preflight, "preflight", "on", "look for bases that lack a platform before building: `on`, warn or off")
	set.StringVar(&flags.emulation, "emulation", "auto", "`WAY` of running foreign platforms: auto, private, host or off")
	set.IntVar(&flags.retries, "retry-emulated", 0, "try a step again up to `N` times when QEMU crashed in it")
	set.DurationVar(&flags.idleTimeout, "idle-timeout", 0, "end a step that prints nothing for this long, e.g. 30m (default: never)")
	set.StringArrayVar(&flags.toolsImages, "tools-image", nil, "image `REF` to take QEMU from when it is not on PATH, or runc=REF for runc (see MABUILD_TOOLS)")
	set.StringVar(&flags.node, "node", os.Getenv("BUILDKIT_HOST"), "`ADDRESS` of a BuildKit daemon to use instead of the built-in engine (or BUILDKIT_HOST)")
	return cmd
}

// addPlanFlags adds the flags that a plan has as well.
func (f *buildFlags) addPlanFlags(set *pflag.FlagSet) {
	set.StringSliceVar(&f.platforms, "platform", nil, "platforms to build, a `LIST` like linux/amd64,linux/arm64 (default: the builder's own)")
	set.StringVarP(&f.file, "file", "f", "", "`PATH` of the Dockerfile (default: CONTEXT/Dockerfile)")
	set.StringArrayVar(&f.buildArgs, "build-arg", nil, "set a build argument: `NAME=VALUE`, or NAME to take the value from the environment")
	set.StringVar(&f.target, "target", "", "`STAGE` to build (default: the last)")
	set.BoolVar(&f.pull, "pull", false, "ask the registry about every base image")
	set.StringVar(&f.engineConfig, "engine-config", os.Getenv("MABUILD_ENGINE_CONFIG"), "buildkitd.toml `FILE` for the built-in engine: mirrors, http, ca, gc, … (or MABUILD_ENGINE_CONFIG)")
}

// options checks the command line before anything is started.
func (f *buildFlags) options(contextDir string) (buildOptions, error) {
	o := buildOptions{
		context: contextDir, dockerfile: f.file, platforms: f.platforms, target: f.target,
		noCache: f.noCache, pull: f.pull, jobs: f.jobs, metadataFile: f.metadataFile, iidFile: f.iidFile,
		retries: f.retries, idleTimeout: f.idleTimeout,
		connection: connection{node: f.node, engineConfig: f.engineConfig, toolsImages: f.toolsImages},
	}
	var err error
	if o.args, err = pairs("--build-arg", f.buildArgs, os.LookupEnv); err != nil {
		return o, err
	}
	if o.labels, err = pairs("--label", f.labels, nil); err != nil {
		return o, err
	}
	if f.quiet {
		f.progress = string(progress.Quiet)
	}
	if o.emulation, err = engine.ParseWay(f.emulation); err != nil {
		return o, &usageError{err}
	}
	if o.node != "" && o.emulation != engine.Auto {
		return o, usagef("--emulation is about the built-in engine; the BuildKit daemon of --node has handlers of its own")
	}
	if o.progress, err = progress.ParseMode(f.progress); err != nil {
		return o, &usageError{err}
	}
	if o.output, err = f.output(); err != nil {
		return o, err
	}
	for _, name := range append(f.tags, o.output.Names...) {
		ref, err := reference.ParseDockerRef(name)
		if err != nil {
			return o, usagef("the name %q is not valid: %w", name, err)
		}
		if _, ok := ref.(reference.Digested); ok {
			return o, usagef("the name %q has a digest; a result gets a tag", name)
		}
		o.names = append(o.names, ref.String())
	}
	if o.output.Push && len(o.names) == 0 {
		return o, usagef("pushing needs a name: add -t REGISTRY/NAME:TAG")
	}
	if o.preflight, err = parsePreflight(f.preflight); err != nil {
		return o, err
	}
	if f.retries < 0 || f.idleTimeout < 0 {
		return o, usagef("--retry-emulated and --idle-timeout cannot be negative")
	}
	if f.jobs < 0 {
		return o, usagef("--jobs is %d; use 1 or more, or leave it away to build all platforms at once", f.jobs)
	}
	if strings.Contains(contextDir, "://") || contextDir == "-" {
		return o, usagef("the build context %q is not a directory; other contexts are not supported yet", contextDir)
	}
	if o.dockerfile == "" {
		o.dockerfile = filepath.Join(contextDir, "Dockerfile")
	}
	return o, nil
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
