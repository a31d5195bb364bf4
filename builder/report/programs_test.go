package report_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/report"
	"github.com/mabuild/mabuild/emulation/dispatch"
)

// emulated is a RUN that executed programs.
func emulated(id string, hits, misses int, cpu ...dispatch.CPU) report.Step {
	s := report.Step{ID: id, Name: id, State: report.Emulated, ExecPlatform: "linux/arm64", Line: 14}
	s.Programs = &dispatch.Step{CPU: cpu, Hits: hits, Misses: map[dispatch.Kind]int{dispatch.Unknown: misses}}
	return s
}

func qemu(name string, seconds float64) dispatch.CPU {
	return dispatch.CPU{Name: name, Emulated: true, Seconds: seconds}
}

func TestEmulationText(t *testing.T) {
	native := dispatch.CPU{Name: "/usr/bin/dash", Seconds: 10}
	for want, step := range map[string]report.Step{
		"": {ID: "native", State: report.Native},
		"2m 08s in cc1 (78 %), 9.1s in as (6 %)": emulated("two", 0, 9, qemu("/usr/libexec/gcc/cc1", 100), qemu("/usr/bin/as", 9.1),
			qemu("/opt/cc1", 28), qemu("sh", 7), qemu("", 10), native),
		"10.0s in a (25 %), 10.0s in b (25 %), 10.0s in c (25 %)":   emulated("four", 0, 9, qemu("d", 10), qemu("c", 10), qemu("b", 10), qemu("a", 10)),
		"0.50s in perl (5 %); 66 of 75 arm64 programs ran natively": emulated("some", 66, 9, qemu("perl", 0.5), native),
		"1 of 1 arm64 program ran natively":                         emulated("all", 1, 0, native),
		"1.0s in a⟨U+001B⟩b (100 %)":                                emulated("hostile", 0, 1, qemu("a\x1bb", 1)),
	} {
		t.Run(step.ID, func(t *testing.T) {
			if got := step.EmulationText(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestHot(t *testing.T) {
	build := &report.Build{Steps: []report.Step{
		emulated("soon over", 0, 1, qemu("a", 3), qemu("b", 1)), emulated("long", 0, 1, qemu("a", 6)),
		{ID: "native"},
		emulated("longest", 0, 1, qemu("a", 4), qemu("b", 9)), emulated("native in part", 9, 1, dispatch.CPU{Name: "cc1", Seconds: 90}),
	}}
	for n, want := range map[int][]string{9: {"longest", "long"}, 1: {"longest"}, 0: nil} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var got []string
			for _, s := range build.Hot(n) {
				got = append(got, s.ID)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// compared is a RUN that was compared with a run without native tools.
func compared(v dispatch.Verification) report.Step {
	s := emulated("compared", 3, 0)
	s.Programs.Verification = &v
	return s
}

func TestVerification(t *testing.T) {
	same := compared(dispatch.Verification{Seconds: 1})
	noisy := compared(dispatch.Verification{Forgotten: 3})
	skipped := compared(dispatch.Verification{Skipped: "not compared: why\x1b"})
	differs := compared(dispatch.Verification{Differing: []string{"/a: mode"}})
	fails := compared(dispatch.Verification{Failed: true})
	for want, steps := range map[string][]report.Step{
		"": {emulated("other", 1, 1), differs, fails, {ID: "native"}},
		"1 step left the same without native tools": {same},
		"2 steps left the same without native tools, but for 3 paths that differ between any two runs; L14 was not compared: why⟨U+001B⟩": {same, skipped, noisy},
		"L14 was not compared: why⟨U+001B⟩": {skipped},
	} {
		if got := (&report.Build{Steps: steps}).VerificationText(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for want, step := range map[string]report.Step{
		"3 of 3 arm64 programs ran natively; the same without native tools":     same,
		"3 of 3 arm64 programs ran natively; not the same without native tools": differs,
		"3 of 3 arm64 programs ran natively":                                    skipped,
	} {
		if got := step.EmulationText(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
