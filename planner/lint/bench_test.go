package lint_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/lint"
)

// bigDockerfile has 10,000 instructions in 1 MB, with something for every rule to
// look at.
func bigDockerfile() string {
	var b strings.Builder
	for stage := range 50 {
		fmt.Fprintf(&b, "FROM base AS s%d\nARG TARGETARCH\nENV STAGE=%d\n", stage, stage)
		for i := range 49 {
			fmt.Fprintf(&b, "RUN --mount=type=cache,id=x-$TARGETARCH,target=/var/cache/apt curl -fsSL https://example.com/tool-$TARGETARCH-%d.tgz | tar xz && echo %s\n", i, strings.Repeat("y", 60))
			fmt.Fprintf(&b, "RUN GOARCH=$TARGETARCH GOARM=7 go build -o /x%d ./cmd/%d && sha256sum -c sums%d && echo $BUILDARCH %s\n", i, i, i, strings.Repeat("z", 30))
			fmt.Fprintf(&b, "COPY bin/$TARGETARCH/server dir%d/* /\n", i)
			fmt.Fprintf(&b, "# mabuild: ignore=arch-url\nADD https://example.com/tool-amd64-%d.tgz /\n", i)
		}
	}
	b.WriteString("FROM base\n")
	for stage := range 50 {
		fmt.Fprintf(&b, "COPY --from=s%d /x /\n", stage)
	}
	return b.String()
}

// BenchmarkFindings lints a file far larger than real ones, planned before.
func BenchmarkFindings(b *testing.B) {
	text := bigDockerfile()
	plan, err := exact.Plan(b.Context(), options(b, text, both))
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d bytes, %d lines, %d steps", len(text), strings.Count(text, "\n"), len(plan.Steps))
	b.ReportAllocs()
	for b.Loop() {
		if got := lint.Findings(plan, lint.Options{Dockerfile: []byte(text), Context: files()}); len(got) == 0 {
			b.Fatal("nothing is found")
		}
	}
}

// BenchmarkFindingsSmall lints a file of usual size.
func BenchmarkFindingsSmall(b *testing.B) {
	const text = "FROM --platform=$BUILDPLATFORM golang:1.26 AS build\nWORKDIR /src\nCOPY . .\nARG TARGETARCH\n" +
		"RUN --mount=type=cache,target=/root/.cache CGO_ENABLED=0 GOARCH=$TARGETARCH go build -o /out/x .\nFROM scratch\nCOPY --from=build /out/x /x\n"
	plan, err := exact.Plan(b.Context(), options(b, text, both))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if got := lint.Findings(plan, lint.Options{Dockerfile: []byte(text), Context: files()}); len(got) > 0 {
			b.Fatal(got)
		}
	}
}

// TestHostile holds that texts made to be slow are not.
func TestHostile(t *testing.T) {
	t.Parallel()
	wide := files()
	for i := range 3_000 {
		wide[fmt.Sprintf("d%d/x%d", i%7, i)] = program("amd64")
	}
	wide[".dockerignore"] = program("amd64")
	wide[".dockerignore"].Data = []byte(strings.Repeat("**/*a*/**/b*\n", 999))
	scripts := map[string]string{
		"brackets":     strings.Repeat("(", 60_000),
		"substitution": strings.Repeat("$(", 30_000),
		"expansion":    strings.Repeat("${TARGETARCH:-", 400) + strings.Repeat("}", 400),
		"arithmetic":   "echo $((" + strings.Repeat("-", 60_000) + "$TARGETARCH))",
		"negations":    strings.Repeat("! ", 30_000) + "$TARGETARCH",
		"compounds":    strings.Repeat("if ", 20_000) + "$TARGETARCH",
		"quotes":       strings.Repeat("`", 60_000) + "$TARGETARCH",
		"backslashes":  "echo `" + strings.Repeat("\\\\", 30_000) + "$TARGETARCH`",
		"long":         "echo $TARGETARCH " + strings.Repeat("x", 64_000),
		"variables":    "echo " + strings.Repeat("$TARGETARCH$A$B", 4000),
		"chain":        strings.Repeat("$TARGETARCH && ", 4000) + "true",
		"pipe":         strings.Repeat("$TARGETARCH | ", 4000) + "true",
		"assignments":  "a=amd64; " + strings.Repeat("a=$a$a$a; ", 5000) + "curl https://example.com/amd64/$a",
		"doubling":     "a0=https://example.com/amd64; " + doubling() + "curl $a29",
		"hashes":       "curl https://e.com/$TARGETARCH; sha256sum -c; " + strings.Repeat(strings.Repeat("1", 64)+" ", 900),
		"addresses":    strings.Repeat("curl https://e.com/amd64 ", 2500),
	}
	texts := map[string]string{
		"context":  "FROM base\nCOPY . d*/* [a-z]*/?[0-9]* /\n",
		"comments": "FROM base\n" + strings.Repeat("# mabuild: ignore=nonsense\n", 30_000) + "RUN true\n",
		"names":    "FROM base\n" + strings.Repeat("# mabuild: ignore="+numbered()+"\n", 15) + "RUN true\n",
	}
	for name, script := range scripts {
		texts[name] = "FROM base\nRUN " + script + "\n"
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			opts := options(t, text, both)
			plan, err := exact.Plan(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			options := lint.Options{Dockerfile: opts.Dockerfile}
			if name == "context" {
				options.Context = wide
			}
			lint.Findings(plan, options)
			t.Logf("%d bytes: %v", len(text), time.Since(start))
			if took := time.Since(start); took > 2*time.Minute {
				t.Errorf("took %v", took)
			}
		})
	}
}

func numbered() string {
	var b strings.Builder
	for i := range 9000 {
		fmt.Fprintf(&b, "x%d,", i)
	}
	return b.String()
}

func doubling() string {
	var b strings.Builder
	for i := range 30 {
		fmt.Fprintf(&b, "a%d=$a%d$a%d; ", i+1, i, i)
	}
	return b.String()
}
