package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/report"
	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/planner/assist"
)

func newAssistCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "assist",
		Short: "Native tools for emulated commands",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newProveCommand())
	return cmd
}

func newProveCommand() *cobra.Command {
	var flags buildFlags
	cmd := &cobra.Command{
		Use:   "prove [flags] CONTEXT",
		Short: "Build with and without native tools, and compare every file",
		Long: `Build the Dockerfile for one emulated platform twice, once with native tools and once
under QEMU alone, and compare names, owners, modes, links and content of every
file of the result. Times are not compared: no two builds agree about them.

The exit code is 1 if anything differs.`,
		Example: `  mabuild assist prove --platform linux/arm64 .
  mabuild assist prove --platform linux/arm64 --target build .`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := flags.options(args[0])
			if err != nil {
				return err
			}
			return prove(cmd.Context(), options)
		},
	}
	set := cmd.Flags()
	flags.addPlanFlags(set)
	flags.addRunFlags(set)
	flags.inputs.addStepFlags(set)
	return cmd
}

// wasAssisted reports whether a command of a build had native tools.
func (o *buildOptions) wasAssisted() bool {
	return slices.ContainsFunc(o.planned.Assists, func(s assist.Step) bool { return s.Recipe != "" }) ||
		slices.ContainsFunc(o.reporting.done.Steps, func(s report.Step) bool { return s.State == report.Assisted })
}

// prove builds twice and compares.
func prove(ctx context.Context, o buildOptions) error {
	if len(o.platforms) != 1 {
		return usagef("prove needs one platform that is emulated here: --platform linux/arm64, say")
	}
	if len(o.assist.recipes) == 0 && !o.hasToolboxes() {
		return usagef("--assist=off leaves nothing to prove; name recipes, as in --assist=go")
	}
	dir, err := os.MkdirTemp("", "mabuild-prove-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	assisted, plain := o, o
	plain.assist = assistance{tools: dispatch.AssistOff}
	// A step that the engine gave tools has the cache key of the plain one.
	assisted.noCache, plain.noCache = o.hasToolboxes(), o.hasToolboxes()
	files := make([]*os.File, 2)
	for i, variant := range []*buildOptions{&assisted, &plain} {
		dest := filepath.Join(dir, fmt.Sprintf("%d.tar", i))
		variant.outputs = []output.Spec{{Type: output.Tar, Dest: dest}}
		if err := build(ctx, variant); err != nil {
			return err
		}
		if variant == &assisted && !assisted.wasAssisted() {
			return usagef("no command is assisted, so there is nothing to prove\n%s", tellAssists(assisted.planned.Assists, false))
		}
		if files[i], err = os.Open(dest); err != nil {
			return err
		}
		defer files[i].Close()
	}
	differences, err := assist.CompareTars(files[1], files[0])
	if err != nil {
		return err
	}
	for _, d := range differences {
		fmt.Println(d)
	}
	if len(differences) > 0 {
		return fmt.Errorf("%d files differ with native tools; build with --assist=off, and report it", len(differences))
	}
	fmt.Fprintln(os.Stderr, "Every file is the same with native tools and without.")
	return nil
}
