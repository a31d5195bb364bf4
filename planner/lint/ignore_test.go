package lint_test

import (
	"slices"
	"testing"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/lint"
)

func TestIgnore(t *testing.T) {
	t.Parallel()
	const url, curl = "2 arch-url linux/arm64", "RUN curl -O https://example.com/a-amd64.tgz\n"
	runTests(t, map[string]test{
		"above":                    {dockerfile: "FROM base\n# mabuild: ignore=arch-url\n" + curl},
		"in a block":               {dockerfile: "FROM base\n# mabuild: ignore=arch-url\n# There is no other.\n" + curl},
		"several":                  {dockerfile: "FROM base\n# mabuild: ignore=arch-early, arch-url ,arg-early\n" + curl, want: "2 ignore-unknown linux/amd64 linux/arm64"},
		"blanks":                   {dockerfile: "FROM base\n  #mabuild:  ignore=arch-url  since there is no other\n" + curl},
		"all":                      {dockerfile: "FROM base\n# mabuild: ignore=all\n" + curl},
		"two comments":             {dockerfile: "FROM base\n# mabuild: ignore=arg-undeclared\n# mabuild: ignore=arch-url\nRUN echo $TARGETOS && \\\n curl -O https://example.com/a-amd64.tgz"},
		"inner line":               {dockerfile: "FROM base\n# mabuild: ignore=arch-url\nRUN true && \\\n curl -O \\\n https://example.com/a-amd64.tgz"},
		"another rule":             {dockerfile: "FROM base\n# mabuild: ignore=host-binary\n" + curl, want: "3 arch-url linux/arm64"},
		"another instruction":      {dockerfile: "FROM base\n# mabuild: ignore=arch-url\nRUN true\n" + curl, want: "4 arch-url linux/arm64"},
		"an empty line":            {dockerfile: "FROM base\n# mabuild: ignore=arch-url\n\n" + curl, want: "4 arch-url linux/arm64"},
		"within the instruction":   {dockerfile: "FROM base\nRUN true && \\\n# mabuild: ignore=arch-url\n curl -O https://example.com/a-amd64.tgz", want: "4 arch-url linux/arm64"},
		"in a heredoc":             {dockerfile: "FROM base\nRUN <<EOF\n# mabuild: ignore=nonsense\ntrue\nEOF\n" + curl, want: "6 arch-url linux/arm64"},
		"in a script of its own":   {dockerfile: "FROM base\n" + curl + "# mabuild: ignore=arch-url\n", want: url},
		"the plan's":               {dockerfile: "# mabuild: ignore=base-platform\nFROM example.com/amd64-only"},
		"in front of FROM":         {dockerfile: "# mabuild: ignore=all\nFROM base\n" + curl, want: "3 arch-url linux/arm64"},
		"in front of a global ARG": {dockerfile: "# mabuild: ignore=builtin-arg-default\nARG TARGETARCH=amd64\nFROM base\nARG TARGETARCH\nRUN true"},
		"below a directive":        {dockerfile: "# syntax=docker/dockerfile:1\n# mabuild: ignore=base-platform\nFROM example.com/amd64-only"},
		"BuildKit's":               {dockerfile: "FROM base\n# mabuild: ignore=workdirrelativepath\nWORKDIR x"},
		"BuildKit's, not ignored":  {dockerfile: "FROM base\nWORKDIR x", want: "2 WorkdirRelativePath linux/amd64 linux/arm64"},
		"empty cache id":           {dockerfile: "FROM base\n# mabuild: ignore=cache-id-empty\nRUN --mount=type=cache,id=x-$TARGETARCH,target=/c true"},
		"trigger":                  {dockerfile: "FROM base AS a\nONBUILD RUN echo $TARGETARCH\n# mabuild: ignore=arg-undeclared\nFROM a"},
		"unknown":                  {dockerfile: "FROM base\n# mabuild: ignore=arch_url\n" + curl, want: "2 ignore-unknown linux/amd64 linux/arm64\n3 arch-url linux/arm64"},
		"unknown, ignored":         {dockerfile: "FROM base\n# mabuild: ignore=some-day,ignore-unknown\nRUN true"},
		"unknown, near":            {dockerfile: "FROM base\n# mabuild: ignore=arch_url\nRUN true", want: "2 ignore-unknown linux/amd64 linux/arm64", fix: "write ignore=arch-url", message: `no rule "arch_url"`},
		"unknown, far":             {dockerfile: "FROM base\n# mabuild: ignore=x\nRUN true", want: "2 ignore-unknown linux/amd64 linux/arm64", fix: "drop x from the comment"},
		"empty list":               {dockerfile: "FROM base\n# mabuild: ignore=\n# mabuild: ignore=,\nRUN true"},
		"no comment of ours":       {dockerfile: "FROM base\n# mabuild ignores=x\n# say mabuild: ignore=x\nRUN true"},
		"Windows line ends":        {dockerfile: "FROM base\r\n# mabuild: ignore=arch-url\r\nRUN curl -O https://example.com/a-amd64.tgz\r\n"},
	})
}

// TestPlanIsKept holds that a plan can be linted twice.
func TestPlanIsKept(t *testing.T) {
	t.Parallel()
	opts := options(t, "# mabuild: ignore=all\nFROM example.com/amd64-only\nWORKDIR x\n", both)
	plan, err := exact.Plan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	before := slices.Clone(plan.Findings)
	first := lint.Findings(plan, lint.Options{Dockerfile: opts.Dockerfile, Filename: "x/Dockerfile"})
	second := lint.Findings(plan, lint.Options{Dockerfile: opts.Dockerfile})
	if len(first) != 1 || len(second) != 1 || len(before) != 2 || len(plan.Findings) != 2 || plan.Findings[0].Rule != before[0].Rule {
		t.Errorf("first %+v\nsecond %+v\nplan %+v", first, second, plan.Findings)
	}
	for _, text := range []string{"", "NONSENSE", "FROM a\nFROM b\n"} {
		if got := lint.Findings(plan, lint.Options{Dockerfile: []byte(text)}); len(got) != 2 {
			t.Errorf("with %q as the text: %+v", text, got)
		}
	}
}
