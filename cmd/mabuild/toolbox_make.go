package main

import (
	"context"
	"fmt"
	"os"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/mabuild/mabuild/builder/progress"
	"github.com/mabuild/mabuild/builder/toolbox"
	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/dispatch"
	boxes "github.com/mabuild/mabuild/emulation/toolbox"
	"github.com/mabuild/mabuild/planner"
)

// hasToolboxes reports whether emulated commands are to have tools of toolboxes.
func (o *buildOptions) hasToolboxes() bool {
	return o.node == "" && o.assist.tools != dispatch.AssistOff && dispatch.Supported()
}

// newMaker makes the toolboxes that the build's steps want; nil if they are to have
// none.
func (o *buildOptions) newMaker(ctx context.Context, node *node) (*toolbox.Maker, error) {
	if !o.hasToolboxes() || len(o.needed) == 0 {
		return nil, nil //nolint:nilnil // nil makes none
	}
	store, err := openToolboxes()
	if err != nil {
		return nil, err
	}
	return toolbox.NewMaker(ctx, toolbox.Options{
		Node: node.Node, Store: store, OptIn: o.assist.tools == dispatch.AssistAll, Base: o.base, Logger: logger(),
	}), nil
}

// observed has the maker listen to what next hears.
func observed(maker *toolbox.Maker, next func(planner.Job, *client.SolveStatus)) func(planner.Job, *client.SolveStatus) {
	return func(job planner.Job, status *client.SolveStatus) {
		next(job, status)
		if status != nil {
			maker.Observe(status)
		}
	}
}

// base is the image that the stage of a step began with, and the platform of the step.
func (o *buildOptions) base(vertex digest.Digest) (ref, platform string) {
	step := o.reporting.Planned(vertex)
	if step == nil || o.planned == nil {
		return "", ""
	}
	return o.planned.Plan.Base(*step), step.ExecPlatform
}

func newToolboxMakeCommand() *cobra.Command {
	var flags buildFlags
	cmd := &cobra.Command{
		Use:   "make [flags] IMAGE",
		Short: "Make the toolboxes for steps on an image",
		Long: `Make the toolboxes for emulated steps on an image and what is built from it, before a
build wants them: for a machine that will be offline, or one that is set up once.

A build makes them by itself beside emulated steps that take long.`,
		Example: "  mabuild toolbox make --platform linux/arm64 debian:trixie",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := flags.options(".")
			if err != nil {
				return err
			}
			return options.makeToolboxes(cmd.Context(), args[0])
		},
	}
	set := cmd.Flags()
	set.StringSliceVar(&flags.platforms, "platform", nil, "platforms of the steps, a `LIST` like linux/arm64,linux/s390x")
	set.StringVar(&flags.assist, "assist", "proven", "proven, or all for the tools, too, that are not proven to make the same bytes")
	flags.addRunFlags(set)
	set.StringVar(&flags.engineConfig, "engine-config", os.Getenv("MABUILD_ENGINE_CONFIG"), "buildkitd.toml `FILE` for the built-in engine (or MABUILD_ENGINE_CONFIG)")
	return cmd
}

func (o *buildOptions) makeToolboxes(ctx context.Context, image string) error {
	wanted, err := planner.ParsePlatforms(o.platforms...)
	if err != nil {
		return err
	}
	if o.node != "" {
		return usagef("toolboxes are the built-in engine's; leave --node and BUILDKIT_HOST away")
	}
	for _, p := range wanted {
		if planner.Runnable(emulation.Native(), p) {
			return usagef("programs of %s run natively here; name the platforms that are emulated, as in --platform linux/arm64", planner.FormatPlatform(p))
		}
	}
	if len(wanted) == 0 {
		return usagef("toolboxes are for emulated platforms; name them, as in --platform linux/arm64")
	}
	node, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer node.close()
	store, err := openToolboxes()
	if err != nil {
		return err
	}
	display, err := progress.New(os.Stderr, o.progress)
	if err != nil {
		return err
	}
	maker := toolbox.NewMaker(ctx, toolbox.Options{
		Node: node.Node, Store: store, OptIn: o.assist.tools == dispatch.AssistAll, Logger: logger(),
		Report: func(status *client.SolveStatus) {
			display.Report(image, status, func(step string) string { return step })
		},
	})
	var made []boxes.Installed
	for _, p := range wanted {
		var some []boxes.Installed
		some, err = maker.MakeAll(ctx, image, planner.FormatPlatform(p))
		made = append(made, some...)
		if err != nil {
			break
		}
	}
	maker.Close()
	if closeErr := display.Close(); err == nil {
		err = closeErr
	}
	for _, box := range made {
		fmt.Fprintln(os.Stdout, box.Digest)
	}
	return err
}
