package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// buildFlags are the command line of a build, as written.
type buildFlags struct {
	platforms          []string
	file               string
	buildArgs          []string
	contexts           []string
	labels             []string
	tags               []string
	push               bool
	load               bool
	outputs            []string
	progress           string
	quiet              bool
	noCache            bool
	pull               bool
	metadataFile       string
	reportFile         string
	errorFile          string
	resultsFile        string
	iidFile            string
	engineConfig       string
	node               string
	emulation          string
	retries            int
	idleTimeout        time.Duration
	toolsImages        []string
	preflight          string
	allow              allowances
	verify             verifyFlags
	assist, accounting string
	assistVerify       string
	pins               []string
	jobs               jobFlags
	inputs             inputFlags
	shards             shardFlags
}

const buildLong = `Build the Dockerfile in CONTEXT for every platform, at the same time, and deliver
one image index. CONTEXT is a directory, the URL of a git repository
(URL#REF:SUBDIR; one commit for all platforms) or of a tar archive, or - for an
archive or a Dockerfile on standard input.

A build argument, a label or a target can be for one platform, whose name and a
colon come before it: --build-arg linux/arm64:CFLAGS=-O2.

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
			return flags.run(cmd.Context(), args[0])
		},
	}
	flags.addFlags(cmd.Flags())
	return cmd
}

// run does what the flags say.
func (f *buildFlags) run(ctx context.Context, contextDir string) error {
	options, err := f.options(contextDir)
	if err != nil {
		return err
	}
	return options.logged(func() error {
		err := options.start(ctx)
		if err != nil && f.errorFile != "" {
			err = errors.Join(err, writeJSON(f.errorFile, newFailures(err)))
		}
		return err
	})
}

// addFlags adds all flags of a build.
func (f *buildFlags) addFlags(set *pflag.FlagSet) {
	f.addPlanFlags(set)
	set.StringArrayVar(&f.labels, "label", nil, "set a label of the images: `[PLATFORM:]NAME=VALUE`")
	set.StringArrayVarP(&f.tags, "tag", "t", nil, "name of the result: `REF` is REGISTRY/NAME:TAG; may be given several times")
	set.BoolVar(&f.push, "push", false, "push the result to the registries of its names (same as -o type=registry)")
	set.BoolVar(&f.load, "load", false, "bring the result into a running Docker, too: all platforms, or its own")
	set.StringArrayVarP(&f.outputs, "output", "o", nil, "where the result goes, may be given several times: a directory, or a `SPEC` like type=image|registry|oci|docker|local|tar,dest=…; those with other attributes are images of their own, of the same build")
	f.addRunFlags(set)
	f.jobs.addFlags(set)
	f.shards.addFlags(set)
	set.StringVar(&f.metadataFile, "metadata-file", "", "write digests of the result and of every platform to this `FILE`, as JSON")
	set.StringVar(&f.errorFile, "error-file", "", "write what failed, for which platform and at which line to this `FILE`, as JSON, if the build fails")
	set.StringVar(&f.resultsFile, "results", "", "write the digests as variables to this `FILE` (GitLab's dotenv), or into this directory, a file for each (Tekton)")
	set.StringVar(&f.reportFile, "report", "", "write what the build did to this `FILE`: one HTML page with a timeline, sizes and findings")
	set.StringVar(&f.iidFile, "iidfile", "", "write the image's ID to this `FILE`")
	set.StringVar(&f.preflight, "preflight", "on", "look for bases that lack a platform before building: `on`, warn or off")
	f.verify.addFlags(set, "verify")
	f.inputs.addFlags(set)
}

// addRunFlags adds the flags of everything that runs steps.
func (f *buildFlags) addRunFlags(set *pflag.FlagSet) {
	set.StringVar(&f.progress, "progress", "auto", "`MODE` of showing progress: auto, tty, plain, json, quiet")
	set.BoolVarP(&f.quiet, "quiet", "q", false, "print the digest alone (same as --progress=quiet)")
	set.BoolVar(&f.noCache, "no-cache", false, "run every step again")
	set.StringVar(&f.emulation, "emulation", "auto", "`WAY` of running foreign platforms: auto, private, host or off")
	set.IntVar(&f.retries, "retry-emulated", 0, "try a step again up to `N` times when QEMU crashed in it")
	set.StringVar(&f.accounting, "accounting", "on", "count what emulated commands execute, and where their time goes: on or off")
	set.StringVar(&f.assistVerify, "assist-verify", "", "run this `SHARE` of the emulated commands that had native tools of the engine once more without, and fail if they leave anything else: 5%, say; all without a value")
	set.Lookup("assist-verify").NoOptDefVal = "100%"
	set.DurationVar(&f.idleTimeout, "idle-timeout", 0, "end a step that prints nothing for this long, e.g. 30m (default: never)")
	set.StringArrayVar(&f.toolsImages, "tools-image", nil, "image `REF` to take QEMU from when it is not on PATH, or runc=REF for runc (see MABUILD_TOOLS)")
	set.StringVar(&f.node, "node", os.Getenv("BUILDKIT_HOST"), "`ADDRESS` of a BuildKit daemon to use instead of the built-in engine (or BUILDKIT_HOST)")
}

// addPlanFlags adds the flags that a plan has as well.
func (f *buildFlags) addPlanFlags(set *pflag.FlagSet) {
	var platforms []string // as docker
	if own := os.Getenv("DOCKER_DEFAULT_PLATFORM"); own != "" {
		platforms = []string{own}
	}
	set.StringSliceVar(&f.platforms, "platform", platforms, "platforms to build, a `LIST` like linux/amd64,linux/arm64 (default: DOCKER_DEFAULT_PLATFORM, or the builder's own)")
	set.StringVarP(&f.file, "file", "f", "", "`PATH` of the Dockerfile, its URL, or - for standard input (default: CONTEXT/Dockerfile)")
	set.StringArrayVar(&f.buildArgs, "build-arg", nil, "set a build argument: `[PLATFORM:]NAME=VALUE`, or NAME to take the value from the environment")
	set.StringArrayVar(&f.contexts, "build-context", nil, "take what is here for an image or a stage: `NAME=`DIRECTORY, or NAME=docker-image://REF, oci-layout://DIR[:TAG] or a URL; NAME::PLATFORM=… for one platform")
	f.inputs.addPlanFlags(set)
	set.BoolVar(&f.pull, "pull", false, "ask the registry about every base image")
	f.allow.addFlags(set)
	set.StringVar(&f.assist, "assist", "on", "native tools for emulated commands, by `RECIPES`: on or proven (go, tools), all (also those that are not proven to make the same bytes), off, or a list of go, java and tools")
	set.StringArrayVar(&f.pins, "pin-native", nil, "run a `STAGE` on the build platform, as if it said so; STAGE:go with the environment of a Go cross build, STAGE:plain without")
	set.StringVar(&f.engineConfig, "engine-config", os.Getenv("MABUILD_ENGINE_CONFIG"), "buildkitd.toml `FILE` for the built-in engine: mirrors, http, ca, gc, … (or MABUILD_ENGINE_CONFIG)")
}
