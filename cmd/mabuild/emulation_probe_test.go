package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation/probe"
)

// result has the outcome of each check, in their order: p, f or s.
func result(platform, outcomes string, native bool) testResult {
	r := testResult{Result: probe.Result{Platform: platform, Native: native, QEMU: "7.2.22"}}
	for i, name := range probe.Names() {
		c := probe.Check{Name: name}
		switch outcomes[i] {
		case 'p':
			c.Outcome = probe.Passed
		case 'f':
			c.Outcome, c.Detail, c.Meaning = probe.Failed, "what happened", "what it means"
		case 's':
			c.Outcome, c.Detail = probe.Skipped, "the reason"
		}
		r.Checks = append(r.Checks, c)
	}
	return r
}

func TestTestReport(t *testing.T) {
	amd64 := result("linux/amd64", "pppps", true)
	for name, test := range map[string]struct {
		report testReport
		code   int
		text   []string
	}{
		"all pass": {
			testReport{Handlers: wayPrivate, Results: []testResult{amd64, result("linux/arm64", "pppps", false)}},
			0,
			[]string{"tested a private binfmt_misc", "linux/amd64 native ok ok ok ok skipped", "linux/arm64 7.2.22 ok", "- setuid skipped (all): the reason"},
		},
		"two fail": {
			testReport{Handlers: wayHost, Reason: "a reason", Results: []testResult{amd64, result("linux/arm64", "ppppf", false), result("linux/arm/v7", "ppppf", false)}},
			exitEmulation,
			[]string{"tested the host's handlers, because: a reason", "- setuid failed (linux/arm64 linux/arm/v7): what happened; what it means"},
		},
		"one does not run": {
			testReport{Results: []testResult{result("linux/arm64", "fssss", false)}},
			exitEmulation,
			[]string{"- run failed (all): what happened; what it means"},
		},
		"nothing to run": {
			testReport{Results: []testResult{amd64}, Untested: []string{"linux/arm64"}}, exitEmulation, []string{"- no handler: linux/arm64"},
		},
		"a QEMU that cannot be registered": {
			testReport{Results: []testResult{amd64}, Problems: []string{"a problem"}}, exitEmulation, []string{"- a problem"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := test.report.print(&out); err != nil {
				t.Fatal(err)
			}
			text := strings.Join(strings.Fields(out.String()), " ")
			for _, want := range test.text {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in\n%s", want, &out)
				}
			}
			code := 0
			if err := test.report.failure(); err != nil {
				code = exitCode(err)
			}
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
		})
	}
}

func TestParseArches(t *testing.T) {
	for args, want := range map[string][]string{
		"":                           nil,
		"all":                        nil,
		"arm64 x86_64":               {"arm64", "amd64"},
		"linux/arm64/v8 loongarch64": {"arm64", "loong64"},
		"linux/arm/v7 i386 mips64el": {"arm", "386", "mips64le"},
	} {
		list, err := parseArches(strings.Fields(args))
		var got []string
		for _, p := range list {
			got = append(got, p.Architecture)
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", args, err, diff)
		}
	}
	var usage *usageError
	if _, err := parseArches([]string{"arm46"}); !errors.As(err, &usage) {
		t.Errorf("arm46: %v", err)
	}
}
