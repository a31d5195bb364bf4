package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/mabuild/mabuild/builder/bases"
	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/show"
)

// planError is a plan that cannot be satisfied.
type planError struct {
	findings []exact.Finding
	shown    bool // on the screen above
}

func (e *planError) Error() string {
	if e.shown {
		return "the plan cannot be satisfied: see the errors above"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the plan cannot be satisfied; nothing was pulled or run")
	for _, f := range e.findings {
		fmt.Fprintf(&b, "\n%s:%d: ", f.File, f.Line)
		if f.Stage != "" {
			fmt.Fprintf(&b, "stage %s: ", f.Stage)
		}
		b.WriteString(f.Message)
		if f.Fix != "" {
			b.WriteString("\n  " + f.Fix)
		}
	}
	return b.String()
}

func newPlanCommand() *cobra.Command {
	var flags buildFlags
	var format string
	var offline bool
	cmd := &cobra.Command{
		Use:   "plan [flags] CONTEXT",
		Short: "Show what a build will do, and what is wrong with it, before it runs",
		Long: `Show for every stage and platform whether it runs natively, emulated, shared with
another platform, or not at all, which base images lack a platform, and why
steps run more often than they need to. Nothing is built; no engine is needed.

The exit code is 4 if the build could not succeed, or would ship the wrong files.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := flags.options(args[0])
			if err != nil {
				return err
			}
			return showPlan(cmd.Context(), options, format, offline)
		},
	}
	set := cmd.Flags()
	flags.addPlanFlags(set)
	set.StringVar(&format, "format", "text", "`FORMAT` of the plan: text or json")
	set.BoolVar(&offline, "offline", false, "ask no registry; use what is known of base images from before")
	return cmd
}

func showPlan(ctx context.Context, o buildOptions, format string, offline bool) error {
	text, err := o.read()
	if err != nil {
		return err
	}
	wanted, err := planner.ParsePlatforms(o.platforms...)
	if err != nil {
		return err
	}
	plan, err := o.exactPlan(ctx, text, wanted, ocispec.Platform{}, offline)
	if err != nil {
		return err
	}
	options := show.Options{File: o.dockerfile, ASCII: !strings.Contains(strings.ToUpper(os.Getenv("LC_ALL")+os.Getenv("LC_CTYPE")+os.Getenv("LANG")), "UTF-8")}
	switch format {
	case "text":
		err = show.Text(os.Stdout, plan, options)
	case "json":
		err = show.JSON(os.Stdout, plan, options)
	default:
		return usagef("--format=%s is unknown; use text or json", format)
	}
	if err != nil {
		return err
	}
	err = planErrors(plan)
	if failed := (*planError)(nil); errors.As(err, &failed) {
		failed.shown = true
	}
	return err
}

// exactPlan is what BuildKit will do.
func (o *buildOptions) exactPlan(ctx context.Context, text []byte, wanted []ocispec.Platform, build ocispec.Platform, offline bool) (*exact.Result, error) {
	client, err := newRegistryClient(o.engineConfig)
	if err != nil {
		return nil, err
	}
	native := emulation.Native()
	if build.Architecture != "" {
		native = []ocispec.Platform{build}
	}
	return exact.Plan(ctx, exact.Options{
		Dockerfile: text, Filename: o.dockerfile, Platforms: wanted, BuildPlatform: build, Target: o.target, Args: o.args,
		Context: o.context, DockerfileDir: filepath.Dir(o.dockerfile), Native: native,
		Resolver: bases.New(bases.Options{Registry: client, Offline: offline, Pull: o.pull, Logger: logger()}),
	})
}

// planErrors is a [*planError] if there are findings of that level.
func planErrors(plan *exact.Result) error {
	var failed []exact.Finding
	for _, f := range plan.Findings {
		if f.Level == exact.LevelError {
			failed = append(failed, f)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return &planError{findings: failed}
}
