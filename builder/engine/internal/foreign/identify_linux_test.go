package foreign

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

func TestIdentify(t *testing.T) {
	deep := "/" + strings.Repeat("deep/", 20) + "cc1"
	step := &dispatch.Step{
		Execs: []dispatch.Exec{
			{Path: deep[len(deep)-64:], BuildID: "c1", Kind: dispatch.Unknown},
			{Path: "/bin/tool", BuildID: "70", Kind: dispatch.Native},
			{Path: "/bin/tool", BuildID: "71", Kind: dispatch.Closure},
			{Path: "/bin/two", BuildID: "21", Kind: dispatch.Unknown},
			{Path: "/opt/two", BuildID: "22", Kind: dispatch.Unknown},
		},
		CPU: []dispatch.CPU{
			{Name: "cc1", Emulated: true, Seconds: 1},
			{Name: deep, Emulated: true, Seconds: 4},
			{Name: "tool", Seconds: 2},
			{Name: "tool", Emulated: true, Seconds: 3},
			{Name: "/opt/two", Emulated: true, Seconds: 5},
			{Name: "two", Emulated: true, Seconds: 6},
			{Name: "unheard of", Emulated: true, Seconds: 7},
		},
	}
	identify(step)
	want := []dispatch.CPU{
		{Name: deep, BuildID: "c1", Emulated: true, Seconds: 5},
		{Name: "/opt/two", BuildID: "22", Emulated: true, Seconds: 5},
		{Name: "tool", BuildID: "70", Seconds: 2},
		{Name: "tool", BuildID: "71", Emulated: true, Seconds: 3},
		{Name: "two", Emulated: true, Seconds: 6},
		{Name: "unheard of", Emulated: true, Seconds: 7},
	}
	if diff := cmp.Diff(want, step.CPU); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}
