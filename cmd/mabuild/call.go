package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/subrequests"
	"github.com/moby/buildkit/frontend/subrequests/lint"
	"github.com/moby/buildkit/frontend/subrequests/outline"
	"github.com/moby/buildkit/frontend/subrequests/targets"
	"github.com/moby/buildkit/solver/pb"
	"github.com/spf13/pflag"
	"github.com/tonistiigi/go-csvvalue"
	"google.golang.org/protobuf/proto"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/progress"
)

// callFlags ask about the Dockerfile instead of building it, as written.
type callFlags struct {
	method string
	check  bool
}

func (f *callFlags) addFlags(set *pflag.FlagSet) {
	set.StringVar(&f.method, "call", "build", "ask BuildKit instead of building: `METHOD` is check, outline or targets[,format=json][,ignorestatus=true]")
	set.BoolVar(&f.check, "check", false, "same as --call=check; mabuild plan --check needs no engine and finds more")
}

// call is a checked --call.
type call struct {
	method       string // BuildKit's name
	json         bool
	ignoreStatus bool
}

// parse reads the flags; nil is building.
func (f *callFlags) parse() (*call, error) {
	value := f.method
	if f.check {
		value = "check"
	}
	if value == "" { // a command that only plans
		return nil, nil //nolint:nilnil // nil is building
	}
	fields, err := csvvalue.Fields(value, nil)
	if err != nil {
		return nil, usagef("--call %q: %w", value, err)
	}
	c := &call{}
	for _, field := range fields {
		name, value, found := strings.Cut(field, "=")
		switch {
		case !found && c.method == "":
			c.method = field
		case name == "format" && (value == "json" || value == "text" || value == ""):
			c.json = value == "json"
		case name == "ignorestatus":
			if c.ignoreStatus, err = strconv.ParseBool(value); err != nil {
				return nil, usagef("--call: ignorestatus=%s is neither true nor false", value)
			}
		default:
			return nil, usagef("--call: %q is unknown; write METHOD[,format=json][,ignorestatus=true]", field)
		}
	}
	switch c.method {
	case "", "build":
		return nil, nil //nolint:nilnil // nil is building
	case "check":
		c.method = "lint"
	case "lint", "outline", "targets", "subrequests.describe":
	default:
		return nil, usagef("--call=%s is unknown; use check, outline or targets", c.method)
	}
	return c, nil
}

// callError is a Dockerfile that a check found something in; it has been told.
type callError struct{ status int }

func (e *callError) Error() string { return "the check found something in the Dockerfile: see above" }

// runCall asks the frontend and prints what it says.
func runCall(ctx context.Context, o *buildOptions) error {
	text, done, err := o.load(ctx, false)
	if err != nil {
		return err
	}
	defer done()
	node, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer node.close()
	plan, err := o.expand(text, node.Native())
	if err != nil && o.inputs.call.method != "lint" { // a check tells it itself
		return err
	}
	if err != nil {
		if plan, err = o.expand([]byte("FROM scratch\n"), node.Native()); err != nil {
			return err
		}
		for i := range plan.Jobs {
			plan.Jobs[i].Target = o.target
		}
	}
	source, err := node.Offer(ctx, o.source())
	if err != nil {
		return err
	}
	defer source.Close()
	mode := progress.Quiet // buildx shows how it loads the Dockerfile; that is no news
	display, err := progress.New(os.Stderr, mode)
	if err != nil {
		return err
	}
	solver, err := buildkit.NewSolver(buildkit.Options{
		Node: node.Node, Source: source, Labels: o.labels, Pull: o.pull, Report: (&screen{display: display}).report, Logger: logger(),
		Inputs: o.forJobs(&caches{}, nil),
	})
	if err != nil {
		return errors.Join(err, display.Close())
	}
	jobs := plan.Jobs
	if len(o.inputs.overrides) > 0 {
		jobs = jobs[:1] // platforms with values of their own would need a question each
	}
	answer, err := solver.Call(ctx, o.inputs.call.method, jobs...)
	if err = errors.Join(err, display.Close()); err != nil {
		return err
	}
	return o.inputs.call.print(os.Stdout, answer, o.dockerfile)
}

// print writes the answer as buildx does.
func (c *call) print(w io.Writer, answer map[string][]byte, file string) error {
	body := answer["result.json"]
	var err error
	switch {
	case c.json:
		_, err = fmt.Fprintln(w, strings.TrimSpace(string(body)))
	case c.method == "lint":
		err = printChecks(w, body, file)
	case c.method == "outline":
		err = outline.PrintOutline(body, w)
	case c.method == "targets":
		err = targets.PrintTargets(body, w)
	default:
		err = subrequests.PrintDescribe(body, w)
	}
	if err != nil {
		return err
	}
	status, err := strconv.Atoi(string(answer["result.statuscode"]))
	if err != nil || status == 0 || c.ignoreStatus {
		return nil
	}
	return &callError{status}
}

// printChecks writes the warnings, with the lines that they are about.
func printChecks(w io.Writer, body []byte, file string) error {
	var results lint.LintResults
	if err := json.Unmarshal(body, &results); err != nil {
		return fmt.Errorf("reading the result of the check: %w", err)
	}
	switch n := len(results.Warnings); {
	case n == 1:
		fmt.Fprintln(w, "Check complete, 1 warning has been found!")
	case n > 1:
		fmt.Fprintf(w, "Check complete, %d warnings have been found!\n", n)
	case results.Error == nil:
		fmt.Fprintln(w, "Check complete, no warnings found.")
	}
	named := func(info *pb.SourceInfo) *pb.SourceInfo {
		if info == nil {
			return nil
		}
		own := proto.CloneOf(info)
		own.Filename = file
		return own
	}
	if err := results.PrintTo(w, named); err != nil {
		return err
	}
	if results.Error != nil && slices.ContainsFunc(results.Sources, func(s *pb.SourceInfo) bool { return s != nil }) {
		if len(results.Warnings) > 0 {
			fmt.Fprintln(w)
		}
		var mistake strings.Builder
		results.PrintErrorTo(&mistake, named)
		return errors.New(strings.TrimSpace(mistake.String()))
	}
	return nil
}
