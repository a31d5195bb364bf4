package main

import (
	"context"
	"fmt"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

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
	if o.preflight == preflightOff {
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
	o.history.expect(result)
	var findings []exact.Finding
	for _, f := range o.findings(result, text) {
		if !o.irrelevant(f) {
			findings = append(findings, f)
		}
	}
	err = failing(findings, exact.LevelError)
	if err != nil && o.preflight == preflightWarn {
		fmt.Fprintln(os.Stderr, "warning:", err)
		err = nil
	}
	if err == nil && o.progress != progress.Quiet && o.progress != progress.JSON {
		for _, f := range findings {
			if f.Level == exact.LevelWarning {
				fmt.Fprintln(os.Stderr, "warning: "+describeFinding(f))
			}
		}
	}
	return err
}
