package main

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/emulation/toolbox"
)

// nativeTools says of a program that QEMU ran what native tools the engine has in its
// place; nil where it has none for anything.
func (o *buildOptions) nativeTools() func(program string) string {
	if o.node != "" || !dispatch.Supported() {
		return nil
	}
	return o.assist.toolText
}

// toolText is what a plan says behind the name of a program. Whether the base of a
// stage has the very program that there is a tool for shows when the step runs.
func (a assistance) toolText(program string) string {
	rule, known := ruleOf(program)
	text := "native where the engine has a toolbox for the base (mabuild toolbox ls)"
	if rule.Wide {
		text = "native on 64-bit platforms where the engine has a toolbox for the base (mabuild toolbox ls)"
	}
	if rule.Class == toolbox.OptIn {
		text += ": " + rule.Reason
	}
	switch {
	case !known:
		return "none are known"
	case program == "go": // none of a toolbox: the recipe mounts it
		return "native where recipe go knows the base and the command, as CGO_ENABLED=0 go build"
	case rule.Class == toolbox.Never:
		return "none (" + reasonOf(rule) + ")"
	case rule.Waits != "":
		return "none yet (that waits for " + rule.Waits + ")"
	case rule.Class == toolbox.OptIn && a.tools != dispatch.AssistAll:
		return "with --assist=all, " + text
	case a.tools == dispatch.AssistOff:
		return "with --assist=proven, " + text
	}
	return text
}

// reasonOf is why a program has no tools, where the policy has "as perl", too.
func reasonOf(rule toolbox.Rule) string {
	name, other := strings.CutPrefix(rule.Reason, "as ")
	if !other {
		return rule.Reason
	}
	for _, r := range toolbox.Policy() {
		if r.Class == rule.Class && slices.Contains(strings.Fields(r.Packages), name) {
			return r.Reason
		}
	}
	return rule.Reason
}

// triplet is before the names of a distribution's binutils.
var triplet = regexp.MustCompile(`^[a-z0-9_]+-linux-(gnu|musl)[a-z0-9_]*-`)

// alias is what programs with other names are in the suites that there are toolboxes for.
func alias(program string) string {
	switch program {
	case "sh":
		return "dash"
	case "awk":
		return "mawk"
	case "ld":
		return "ld.bfd"
	case "cc":
		return "gcc"
	case "c++":
		return "g++"
	}
	return program
}

// ruleOf finds what the policy says of a program of which only the name is known: the
// line that names it, or else the one about all programs of a package called so, as
// those of apt are whose names begin with apt-.
func ruleOf(program string) (toolbox.Rule, bool) {
	program = alias(triplet.ReplaceAllString(program, ""))
	for _, rule := range toolbox.Policy() {
		names := strings.Fields(rule.Names)
		if rule.Names == "*" {
			names = strings.Fields(rule.Packages)
			for _, pkg := range slices.Clone(names) {
				names = append(names, pkg+"-*")
			}
		}
		if slices.ContainsFunc(names, func(pattern string) bool {
			matched, err := path.Match(pattern, program)
			return pattern == program || matched && err == nil // "[" is a name, too
		}) {
			return rule, true
		}
	}
	return toolbox.Rule{}, false
}
