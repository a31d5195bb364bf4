package foreign

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

func TestUsageOf(t *testing.T) {
	execs := []dispatch.Exec{
		{Path: "/bin/b", BuildID: "b1", Kind: dispatch.Native},
		{Path: "/bin/a", BuildID: "a1", Kind: dispatch.Native},
		{Path: "/usr/bin/b", BuildID: "b1", Kind: dispatch.Native},
		{Path: "/bin/c", BuildID: "c1", Kind: dispatch.Unknown},
	}
	u := usageOf("arm64", &dispatch.Step{Hits: 3, Execs: execs, Toolboxes: []string{"box"}})
	if diff := cmp.Diff([]string{"a1", "b1"}, u.Tools); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !u.has("a1") || u.has("c1") {
		t.Errorf("%+v has the program that QEMU ran, or not the one with a tool", u)
	}
	if u := usageOf("arm64", &dispatch.Step{Execs: execs[3:]}); u != nil {
		t.Errorf("without a tool: %+v", u)
	}
	// Where not everything is known, it may have been any tool.
	if u := usageOf("arm64", &dispatch.Step{Execs: execs[3:], Partial: true}); u == nil || !u.has("a1") {
		t.Errorf("with a part of the log: %+v", u)
	}
	many := &dispatch.Step{Hits: maxNoted + 1}
	for i := range maxNoted + 1 {
		many.Execs = append(many.Execs, dispatch.Exec{BuildID: fmt.Sprint(i), Kind: dispatch.Native})
	}
	if u := usageOf("arm64", many); !u.has("a1") || len(u.Tools) > maxNoted {
		t.Errorf("with %d tools: %d are noted, more: %t", len(many.Execs), len(u.Tools), u.More)
	}
}

func TestToolOf(t *testing.T) {
	for tool, filters := range map[string][]string{"ab12": {"mabuild.tool==ab12"}, "": {"id==ab12"}} {
		if got := toolOf(filters); got != tool {
			t.Errorf("toolOf(%q) = %q, want %q", filters, got, tool)
		}
	}
	if got := toolOf(nil); got != "" {
		t.Errorf("without a filter: %q", got)
	}
}
