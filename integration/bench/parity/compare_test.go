package parity_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/integration/bench/parity"
)

func TestCompare(t *testing.T) {
	documented := parity.Case{Differs: []parity.Difference{{Fact: "exit code", Buildx: "1", Mabuild: "2", Reason: parity.ExitCodes}}}
	looking := parity.Case{Look: []string{"image {REF}"}}
	for _, test := range []struct {
		name            string
		c               parity.Case
		buildx, mabuild parity.Facts
		reasons         []parity.Reason
		problems        []string // parts
	}{
		{"same", parity.Case{}, parity.Facts{"a": "1"}, parity.Facts{"a": "1"}, nil, nil},
		{"another value", parity.Case{}, parity.Facts{"a": "1"}, parity.Facts{"a": "2"}, nil, []string{`a: buildx has "1", mabuild "2"`}},
		{"one more", parity.Case{}, parity.Facts{}, parity.Facts{"a": "2"}, nil, []string{`a: buildx has "-", mabuild "2"`}},
		{"documented", documented, parity.Facts{"exit code": "1"}, parity.Facts{"exit code": "2"}, []parity.Reason{parity.ExitCodes}, nil},
		{"documented otherwise", documented, parity.Facts{"exit code": "1"}, parity.Facts{"exit code": "6"}, nil, []string{`mabuild "6"`, "not there any more"}},
		{"gone", documented, parity.Facts{"exit code": "1"}, parity.Facts{"exit code": "1"}, nil, []string{"not there any more"}},
		{
			"nothing from one", looking,
			parity.Facts{"image REF": "something", "REF type": "x", "REF entries": "y"},
			parity.Facts{"image REF": "nothing"},
			nil,
			[]string{"image REF"},
		},
		{"nothing from both", looking, parity.Facts{"image REF": "nothing"}, parity.Facts{"image REF": "nothing"}, nil, []string{"none of them"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := parity.Compare(test.c, test.buildx, test.mabuild)
			if diff := cmp.Diff(test.reasons, got.Reasons); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			if len(got.Problems) != len(test.problems) {
				t.Fatalf("problems %q, want %q", got.Problems, test.problems)
			}
			for i, part := range test.problems {
				if !strings.Contains(got.Problems[i], part) {
					t.Errorf("problem %q, want %q", got.Problems[i], part)
				}
			}
		})
	}
}

// TestPatterns: a * in a documented difference is any text.
func TestPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern, fact string
		want          bool
	}{
		{"a", "a", true},
		{"a", "ab", false},
		{"*", "", true},
		{"a*", "ab", true},
		{"a*", "ba", false},
		{"a*c", "abc", true},
		{"a*c", "ac", true},
		{"a*a", "a", false},
		{"*b*", "abc", true},
		{"*b*d", "abcd", true},
		{"*b*b", "ab", false},
	} {
		t.Run(test.pattern+" "+test.fact, func(t *testing.T) {
			c := parity.Case{Differs: []parity.Difference{{Fact: test.pattern, Buildx: "1", Mabuild: "*", Reason: parity.Once}}}
			got := parity.Compare(c, parity.Facts{test.fact: "1"}, parity.Facts{})
			if (len(got.Problems) == 0) != test.want {
				t.Errorf("problems %q, want a match: %v", got.Problems, test.want)
			}
		})
	}
}

func ExampleCompare() {
	c := parity.Case{
		Args:    "-o out .",
		Differs: []parity.Difference{{Fact: "exit code", Buildx: "1", Mabuild: "2", Reason: parity.ExitCodes}},
	}
	result := parity.Compare(c, parity.Facts{"exit code": "1", "out a.txt": "one"}, parity.Facts{"exit code": "2", "out a.txt": "two"})
	fmt.Println(result.Reasons)
	fmt.Println(result.Problems)
	// Output:
	// [Exit codes]
	// [out a.txt: buildx has "one", mabuild "two"]
}
