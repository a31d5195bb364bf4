package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/mabuild/mabuild/builder/report"
	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/assist"
)

// assistance is what emulated commands get.
type assistance struct {
	recipes []assist.Recipe // of the planner
	tools   string          // of toolboxes, by the engine: a value of dispatch.AssistAttribute
}

// parseAssist reads --assist.
func parseAssist(list string) (assistance, error) {
	switch list {
	case "", "on", "proven":
		return assistance{assist.Default(), dispatch.AssistProven}, nil
	case "all":
		recipes, err := assist.Parse("go,java")
		return assistance{recipes, dispatch.AssistAll}, err
	case "off":
		return assistance{nil, dispatch.AssistOff}, nil
	}
	a := assistance{tools: dispatch.AssistOff}
	var recipes []string
	for name := range strings.SplitSeq(list, ",") {
		switch name = strings.TrimSpace(name); name {
		case "tools":
			a.tools = dispatch.AssistProven
		case "go", "java":
			recipes = append(recipes, name)
		default:
			return a, usagef("--assist=%s: %q is unknown; use on, all, off, or a list of go, java and tools", list, name)
		}
	}
	if len(recipes) == 0 {
		return a, nil
	}
	var err error
	a.recipes, err = assist.Parse(strings.Join(recipes, ","))
	return a, err
}

// parseAccounting reads --accounting.
func parseAccounting(s string) (off bool, err error) {
	switch cmp.Or(s, "on") {
	case "on":
		return false, nil
	case "off":
		return true, nil
	}
	return false, usagef("--accounting=%s is unknown; use on or off", s)
}

// parseAssistVerify reads --assist-verify.
func (f *buildFlags) parseAssistVerify() (string, error) {
	if _, err := dispatch.ParseShare(f.assistVerify); err != nil {
		return "", usagef("--assist-verify: %w", err)
	}
	if f.assistVerify != "" && f.node != "" {
		return "", usagef("--assist-verify is about native tools of the built-in engine; the BuildKit daemon of --node has none")
	}
	return f.assistVerify, nil
}

// jobAttrs are the frontend's attributes for one job, with those that the built-in
// engine reads.
func (o *buildOptions) jobAttrs(job planner.Job) map[string]string {
	attrs := o.inputs.jobAttrs(job)
	if o.node != "" {
		return attrs
	}
	attrs[dispatch.AssistAttribute] = o.assist.tools
	if o.assistVerify != "" {
		attrs[dispatch.AssistVerifyAttribute] = o.assistVerify
	}
	if o.noAccounting {
		attrs[dispatch.AccountingAttribute] = "off"
	}
	return attrs
}

// tellPrograms says which emulated commands took most time, and what in them did, and
// what came of comparing them.
func tellPrograms(w io.Writer, build *report.Build) {
	for _, s := range build.Hot(3) {
		fmt.Fprintf(w, "Emulated: %s L%d: %s\n", s.ExecPlatform, s.Line, s.EmulationText())
	}
	if text := build.VerificationText(); text != "" {
		fmt.Fprintf(w, "Verified: %s\n", text)
	}
}
