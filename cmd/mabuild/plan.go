package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/history"
	"github.com/mabuild/mabuild/planner/lint"
	"github.com/mabuild/mabuild/planner/pin"
	"github.com/mabuild/mabuild/planner/show"
)

// planOptions are what the plan command adds to a build's command line.
type planOptions struct {
	format  string
	json    bool
	check   bool
	explain string
	failOn  string
	offline bool
}

const planLong = `Show for every stage and platform whether it runs natively, emulated, shared with
another platform, or not at all, which base images lack a platform, and why
steps run more often than they need to. Nothing is built; no engine is needed.

The exit code is 4 if the build could not succeed, or would ship the wrong files.
A comment "# mabuild: ignore=RULE" above an instruction silences a rule there;
docs/lints has a page for each.`

const planExample = `  mabuild plan --platform linux/amd64,linux/arm64 .
  mabuild plan --platform linux/amd64,linux/arm64 --explain L14 .
  mabuild plan --platform linux/amd64,linux/arm64 --format=svg . > plan.svg
  mabuild plan --check --fail-on=warning --platform linux/amd64,linux/arm64 .`

func newPlanCommand() *cobra.Command {
	var flags buildFlags
	var p planOptions
	cmd := &cobra.Command{
		Use:     "plan [flags] CONTEXT",
		Short:   "Show what a build will do, and what is wrong with it, before it runs",
		Long:    planLong,
		Example: planExample,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := flags.options(args[0])
			if err != nil {
				return err
			}
			return showPlan(cmd.Context(), options, p)
		},
	}
	set := cmd.Flags()
	flags.addPlanFlags(set)
	set.StringVar(&p.format, "format", "text", "`FORMAT` of the plan: text, json, sarif, dot or svg")
	set.BoolVar(&p.json, "json", false, "same as --format=json")
	set.BoolVar(&p.check, "check", false, "show the findings alone, one per line")
	set.StringVar(&p.explain, "explain", "", "tell all about one `LINE` of the Dockerfile, as in L14: where it runs, how often, and why")
	set.StringVar(&p.failOn, "fail-on", "error", "least `LEVEL` of findings that gives exit code 4: error, warning, note or never")
	set.BoolVar(&p.offline, "offline", false, "ask no registry; use what is known of base images from before")
	return cmd
}

// printer writes a plan in one format.
type printer func(w io.Writer, plan *exact.Result, opts show.Options) error

// printer chooses the format.
func (p *planOptions) printer() (printer, error) {
	printers := map[string]printer{"text": show.Text, "json": show.JSON, "sarif": show.SARIF, "dot": show.DOT, "svg": show.SVG}
	if p.json {
		p.format = "json"
	}
	print, ok := printers[p.format]
	if !ok {
		return nil, usagef("--format=%s is unknown; use text, json, sarif, dot or svg", p.format)
	}
	if p.format != "text" && (p.check || p.explain != "") {
		return nil, usagef("--check and --explain are shown as text; leave --format=%s away", p.format)
	}
	if p.check {
		return printFindings, nil
	}
	if p.explain == "" {
		return print, nil
	}
	line, err := strconv.Atoi(strings.TrimPrefix(strings.ToUpper(p.explain), "L"))
	if err != nil {
		return nil, usagef("--explain=%s is no line; write the number of one, as in --explain=L14", p.explain)
	}
	return func(w io.Writer, plan *exact.Result, opts show.Options) error {
		explained, err := exact.Explain(plan, line)
		if err != nil {
			return &usageError{err}
		}
		return show.Explain(w, explained, opts)
	}, nil
}

// failLevel is the least level that fails, empty if none does.
func (p *planOptions) failLevel() (exact.Level, error) {
	switch p.failOn {
	case "error", "warning", "note":
		return exact.Level(p.failOn), nil
	case "never":
		return "", nil
	}
	return "", usagef("--fail-on=%s is unknown; use error, warning, note or never", p.failOn)
}

func printFindings(w io.Writer, plan *exact.Result, _ show.Options) error {
	for _, f := range plan.Findings {
		if _, err := fmt.Fprintf(w, "%s: %s\n", f.Level, describeFinding(f)); err != nil {
			return err
		}
	}
	return nil
}

func showPlan(ctx context.Context, o buildOptions, p planOptions) error {
	print, err := p.printer()
	if err != nil {
		return err
	}
	level, err := p.failLevel()
	if err != nil {
		return err
	}
	text, done, err := o.load(ctx, p.offline)
	if err != nil {
		return err
	}
	defer done()
	wanted, err := planner.ParsePlatforms(o.platforms...)
	if err != nil {
		return err
	}
	result, err := o.exactPlan(ctx, planRequest{text: text, wanted: wanted, offline: p.offline})
	if err != nil {
		return err
	}
	plan := result.Plan
	plan.Findings = o.findings(plan, text)
	options := o.screen(plan)
	options.Assists, options.Tools = result.Assists, o.nativeTools()
	if options.Pins, err = pin.Candidates(plan, result.Dockerfile); err != nil {
		return err
	}
	if err := print(os.Stdout, plan, options); err != nil {
		return err
	}
	err = failing(plan.Findings, level)
	if failed := (*planError)(nil); errors.As(err, &failed) {
		failed.shown = true
	}
	return err
}

// screen says how a plan is shown.
func (o *buildOptions) screen(plan *exact.Result) show.Options {
	options := show.Options{
		File: o.dockerfile, ASCII: !unicodeTerminal(), Version: version(),
		Forecast: forecast(plan, history.Project(o.context, o.dockerfile), o.builder(), logger()),
	}
	if o.remote == nil || o.remote.localFile {
		options.Root = repository(filepath.Dir(o.dockerfile))
	}
	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		options.Width = width
	}
	for _, rule := range lint.Rules() {
		options.Rules = append(options.Rules, show.Rule{
			Name: rule.Name, Level: rule.Level, Summary: rule.Summary,
			URL: "https://github.com/mabuild/mabuild/blob/main/docs/lints/" + rule.Name + ".md",
		})
	}
	return options
}

// repository is the top of the git repository that a directory is in, empty if it
// is in none: code scanning wants paths from there.
func repository(dir string) string {
	dir, err := filepath.Abs(dir)
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
	}
	return ""
}

// unicodeTerminal reports whether the locale has characters beyond ASCII.
func unicodeTerminal() bool {
	return strings.Contains(strings.ToUpper(os.Getenv("LC_ALL")+os.Getenv("LC_CTYPE")+os.Getenv("LANG")), "UTF-8")
}
