package main

import (
	"context"
	"fmt"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/buildkit"
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

// check makes the exact plan and looks at it before anything is pulled or run. What
// jobs send follows from it.
func (o *buildOptions) check(ctx context.Context, text []byte, plan *planner.Plan, node *node) error {
	if err := o.shards.refused(ctx); err != nil {
		return err
	}
	if o.preflight == preflightOff && len(o.pins) == 0 && len(o.assist.recipes) == 0 {
		return nil
	}
	var wanted []ocispec.Platform
	for _, job := range plan.Jobs {
		wanted = append(wanted, job.Platform)
	}
	planned, err := o.exactPlan(ctx, planRequest{text: text, wanted: wanted, node: node})
	frontend, foreign := planner.Syntax(text, o.args)
	switch {
	case err != nil && foreign && len(o.pins) == 0 && context.Cause(ctx) == nil:
		fmt.Fprintf(o.warnings(), "warning: what %s does cannot be planned, so nothing is checked before it is built: %v\n", frontend, err)
		return nil
	case err != nil && o.preflight == preflightOff && len(o.pins) == 0 && context.Cause(ctx) == nil:
		logger().WarnContext(ctx, "no command gets native tools", "error", err)
		return nil
	case err != nil:
		return err
	}
	o.planned = planned
	fmt.Fprint(o.warnings(), tellAssists(o.planned.Assists, o.hasToolboxes()))
	o.reporting.Expect(planned.Plan, planned.Assists)
	if o.preflight == preflightOff {
		return nil
	}
	o.history.expect(o.planned.Plan)
	var findings []exact.Finding
	o.found = append(o.findings(o.planned.Plan, text), o.inputs.ungiven(o.planned, o.dockerfile)...)
	for _, f := range o.found {
		if !o.irrelevant(f) {
			findings = append(findings, f)
		}
	}
	err = failing(findings, exact.LevelError)
	if err != nil && o.preflight == preflightWarn {
		fmt.Fprintln(os.Stderr, "warning:", err)
		err = nil
	}
	for _, f := range findings {
		if err == nil && f.Level == exact.LevelWarning && !o.annotates {
			fmt.Fprintln(o.warnings(), "warning: "+describeFinding(f))
		}
	}
	return err
}

// edit is what a job sends instead of the Dockerfile, nil if it sends that.
func (o *buildOptions) edit(job planner.Job) (*buildkit.Edit, error) {
	if o.planned == nil {
		return nil, nil //nolint:nilnil // nil is the Dockerfile
	}
	edit, ok := o.planned.Edits[planner.FormatPlatform(job.Platform)]
	if !ok {
		return nil, nil //nolint:nilnil // as above
	}
	return &buildkit.Edit{Text: edit.Text, Contexts: edit.Contexts, Secrets: edit.Secrets}, nil
}
