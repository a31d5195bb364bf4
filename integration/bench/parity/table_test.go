package parity_test

import (
	"strings"
	"testing"

	"github.com/mabuild/mabuild/integration/bench/parity"
)

func TestWriteTable(t *testing.T) {
	results := []parity.Result{
		{Case: parity.Case{Section: "One", Args: "-t {REF} --push .", Look: []string{"image {REF}"}}},
		{Case: parity.Case{Section: "Two", Args: "", Fails: 1}, Reasons: []parity.Reason{parity.ExitCodes}},
		{Case: parity.Case{Section: "Two", Args: "-o x|y -", Env: []string{"A=1"}, Stdin: "in", Before: "-o z .", Prune: true, Times: true, Note: "why"}},
	}
	var b strings.Builder
	if err := parity.WriteTable(&b, "buildx v1", results); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Of 3 command lines\n\n- 2 leave the same,\n- 1 fail with both", "- 0 differ", "These are buildx v1.\n",
		"## One\n\n| command line | compared | result |\n|---|---|---|\n| `-t REF --push .` | exit code, image REF | same |\n",
		"| (no arguments) | failure | differs: [Exit codes](#exit-codes) |\n",
		"| `A=1` `-o x\\|y -` < `in` <br>first `-o z .` pruned <br>why | exit code, times | same |\n",
		"### Exit codes\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "### "+string(parity.SameBytes)) {
		t.Error("a reason is explained that nothing has")
	}
}

// TestCases: every look and reason of the cases is one that the page explains.
func TestCases(t *testing.T) {
	all := parity.Cases()
	if len(all) < 60 {
		t.Errorf("there are %d cases", len(all))
	}
	looks := parity.Looks()
	var results []parity.Result
	for _, c := range all {
		result := parity.Result{Case: c}
		for _, look := range c.Look {
			if kind, _, _ := strings.Cut(look, " "); looks[kind] == "" {
				t.Errorf("%s: %q is nothing to look at", c.Args, look)
			}
		}
		for _, d := range c.Differs {
			result.Reasons = append(result.Reasons, d.Reason)
		}
		results = append(results, result)
	}
	var b strings.Builder
	if err := parity.WriteTable(&b, "", results); err != nil {
		t.Fatal(err)
	}
	for _, result := range results {
		for _, reason := range result.Reasons {
			if !strings.Contains(b.String(), "\n### "+string(reason)+"\n\n") {
				t.Errorf("%s: the reason %q is not explained", result.Case.Args, reason)
			}
		}
	}
}
