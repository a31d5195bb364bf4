package main

import (
	"context"
	"fmt"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/progress"
	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
)

// preflight says what a build does about a plan that cannot be satisfied.
type preflight string

const (
	preflightOn   preflight = "on"
	preflightWarn preflight = "warn"
	preflightOff  preflight = "off"
)

func parsePreflight(s string) (preflight, error) {
	switch p := preflight(s); p {
	case "":
		return preflightOn, nil
	case preflightOn, preflightWarn, preflightOff:
		return p, nil
	}
	return "", usagef("--preflight=%s is unknown; use on, warn or off", s)
}

// check looks at the exact plan before anything is pulled or run.
func (o *buildOptions) check(ctx context.Context, text []byte, plan *planner.Plan, build ocispec.Platform) error {
	if o.preflight == preflightOff || !needsCheck(plan) {
		return nil
	}
	var wanted []ocispec.Platform
	for _, job := range plan.Jobs {
		wanted = append(wanted, job.Platform)
	}
	result, err := o.exactPlan(ctx, text, wanted, build, false)
	if err != nil {
		return err
	}
	var findings []exact.Finding
	for _, f := range result.Findings {
		if !o.irrelevant(f) {
			findings = append(findings, f)
		}
	}
	result.Findings = findings
	err = planErrors(result)
	if err != nil && o.preflight == preflightWarn {
		fmt.Fprintln(os.Stderr, "warning:", err)
		err = nil
	}
	if err == nil && o.progress != progress.Quiet && o.progress != progress.JSON {
		for _, f := range findings {
			if f.Level == exact.LevelWarning {
				fmt.Fprintf(os.Stderr, "warning: %s:%d: %s\n", f.File, f.Line, f.Message)
			}
		}
	}
	return err
}

// irrelevant leaves out what this build need not care about.
func (o *buildOptions) irrelevant(f exact.Finding) bool {
	switch f.Rule {
	case exact.RuleBaseUnavailable:
		// What cannot be looked up from here may be in reach of the daemon, which says
		// itself what it cannot get.
		return true
	case exact.RuleRuntimePinned:
		// Files have no platform that could be wrong.
		return o.output.Type == output.Local || o.output.Type == output.Tar
	}
	return false
}

// needsCheck reports whether a plan has anything that can be wrong: without images
// and with every stage on its job's platform there is nothing.
func needsCheck(plan *planner.Plan) bool {
	for _, job := range plan.Jobs {
		if len(job.Images) > 0 {
			return true
		}
	}
	return false
}
