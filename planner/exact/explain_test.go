package exact_test

import (
	"context"
	"fmt"
	"log"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
)

// TestExplain says why commands run several times.
func TestExplain(t *testing.T) {
	t.Parallel()
	for name, test := range explainTests() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := options(t, test.dockerfile)
			if test.platforms != "" {
				opts.Platforms = list(t, test.platforms)
			}
			e, err := exact.Explain(plan(t, opts), test.line)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, describeExplanation(e)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

type explainTest struct {
	dockerfile string
	platforms  string
	line       int
	want       string
}

// describeExplanation has a line for the place and one for each cause.
func describeExplanation(e *exact.Explanation) string {
	text := fmt.Sprintf("L%d-%d %s %s, %d runs", e.Line, e.EndLine, e.Stage, e.Instruction, len(e.Runs))
	for _, c := range e.Causes {
		text += fmt.Sprintf("\n%s L%d%s", c.Kind, c.Line, describeDifferences(c.Differs))
	}
	if len(e.Differs) > 0 {
		text += "\ndiffers" + describeDifferences(e.Differs)
	}
	for _, f := range e.Findings {
		text += fmt.Sprintf("\n%s L%d", f.Rule, f.Line)
	}
	return text
}

func describeDifferences(list []exact.Difference) string {
	text := ""
	for _, d := range list {
		var values []string
		for _, platform := range slices.Sorted(maps.Keys(d.Values)) {
			values = append(values, d.Values[platform])
		}
		text += fmt.Sprintf(" %s=%s", d.Name, strings.Join(values, "|"))
		if d.Variable && !d.Mentioned {
			text += " unmentioned"
		}
	}
	return text
}

func explainTests() map[string]explainTest {
	const pinned = "FROM --platform=$BUILDPLATFORM base AS b\n"
	return map[string]explainTest{
		"once": {
			dockerfile: pinned + "RUN true\nFROM base\nCOPY --from=b /x /", line: 2,
			want: "L2-2 b RUN, 1 runs",
		},
		"bases": {
			dockerfile: "FROM base\nRUN true", line: 2,
			want: "L2-2 stage-0 RUN, 2 runs\nbase L1 image=linux/amd64|linux/arm64",
		},
		"base of a parent, and of what is copied": {
			dockerfile: "FROM base AS a\nFROM app:1 AS b\nFROM a\nCOPY --from=b /x /\nRUN true", line: 5,
			want: "L5-5 stage-2 RUN, 2 runs\nbase L1 image=linux/amd64|linux/arm64\nbase L2 image=linux/amd64|linux/arm64",
		},
		"inside of several lines": {
			dockerfile: pinned + "RUN a && \\\n  b && \\\n\n  c\nFROM base\nCOPY --from=b /x /", line: 4,
			want: "L2-5 b RUN, 1 runs\nNoEmptyContinuation L5",
		},
		"inside of a heredoc": {
			dockerfile: pinned + "ARG TARGETARCH\nRUN <<E\necho $TARGETARCH\nE\nFROM base\nCOPY --from=b /x /", line: 4,
			want: "L3-5 b RUN, 2 runs\nvariable L3 TARGETARCH=amd64|arm64\ndiffers TARGETARCH=amd64|arm64",
		},
		"variable that is not mentioned": {
			dockerfile: pinned + "ARG TARGETARCH\nRUN make\nFROM base\nCOPY --from=b /x /", line: 3,
			want: "L3-3 b RUN, 2 runs\nvariable L3 TARGETARCH=amd64|arm64 unmentioned\ndiffers TARGETARCH=amd64|arm64 unmentioned\narg-early L2",
		},
		"earlier command": {
			dockerfile: pinned + "ARG TARGETARCH\nRUN make\nRUN echo $TARGETARCH\nFROM base\nCOPY --from=b /x /", line: 4,
			want: "L4-4 b RUN, 2 runs\nvariable L3 TARGETARCH=amd64|arm64 unmentioned\ndiffers TARGETARCH=amd64|arm64\narg-early L2",
		},
		"environment made of an argument": {
			dockerfile: pinned + "ARG TARGETVARIANT\nENV GOARM=${TARGETVARIANT#v}\nRUN go build\nFROM base\nCOPY --from=b /x /", line: 4,
			platforms: "linux/amd64,linux/arm/v7",
			want:      "L4-4 b RUN, 2 runs\nvariable L4 GOARM=|7 unmentioned TARGETVARIANT=|v7 unmentioned\ndiffers GOARM=|7 unmentioned TARGETVARIANT=|v7 unmentioned",
		},
		"copied files": {
			dockerfile: pinned + "ARG TARGETARCH\nCOPY bin/$TARGETARCH /x\nRUN make\nFROM base\nCOPY --from=b /x /", line: 3,
			want: "L3-3 b COPY, 2 runs\ncommand L3 command=COPY bin/amd64 /x|COPY bin/arm64 /x",
		},
		"cache by name": {
			dockerfile: pinned + "ARG TARGETARCH\nRUN --mount=type=cache,id=$TARGETARCH,target=/c make\nFROM base\nCOPY --from=b /x /", line: 3,
			want: "L3-3 b RUN, 2 runs\nvariable L3 TARGETARCH=amd64|arm64\ndiffers TARGETARCH=amd64|arm64",
		},
		"stages by name": {
			dockerfile: "FROM --platform=linux/amd64 base AS x-amd64\nRUN a\nFROM --platform=linux/amd64 base AS x-arm64\nRUN b\nFROM x-$TARGETARCH\nRUN c", line: 6,
			want: "L6-6 stage-2 RUN, 2 runs\ncommand L2 command=/bin/sh -c a|/bin/sh -c b",
		},
		"images by name": {
			dockerfile: "FROM base AS x-amd64\nFROM app:1 AS x-arm64\nFROM x-$TARGETARCH\nRUN c", line: 4,
			want: "L4-4 stage-2 RUN, 2 runs\nbase L1 image=FROM base AS x-amd64|FROM app:1 AS x-arm64",
		},
		"stage without a step": {
			dockerfile: "FROM base AS a\nRUN true\nFROM a AS b\nFROM b", line: 3,
			want: "L3-3 b FROM, 0 runs",
		},
		"argument with a finding": {
			dockerfile: pinned + "ARG TARGETARCH\nRUN make\nFROM base\nCOPY --from=b /x /", line: 2,
			want: "L2-2 b , 0 runs\narg-early L2",
		},
		"same command in two stages": {
			dockerfile: pinned + "RUN make\nFROM --platform=$BUILDPLATFORM base AS c\nRUN make\nFROM base\nCOPY --from=b /x /\nCOPY --from=c /y /", line: 4,
			want: "L4-4 c RUN, 1 runs",
		},
	}
}

// TestExplainErrors holds that a line without anything is answered with lines that
// have something.
func TestExplainErrors(t *testing.T) {
	t.Parallel()
	text := "# about\nFROM base AS b\nENV A=1\nRUN a \\\n b\n\nCMD x\nFROM base AS unused\nENV B=1\nRUN c\nFROM b\nLABEL a=b\n"
	result := plan(t, options(t, text))
	for line, want := range map[int]string{
		-1: "try L2 FROM",
		0:  "try L2 FROM",
		1:  "try L2 FROM",
		3:  "try L2 FROM or L4-5 RUN",
		6:  "try L4-5 RUN or L8 FROM",
		9:  "nothing needs stage unused that it is in; choose another target, or try L8 FROM or L11 FROM",
		99: "try L11 FROM",
	} {
		_, err := exact.Explain(result, line)
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("line %d: got %v, want …%s", line, err, want)
		}
	}
	if _, err := exact.Explain(&exact.Result{}, 1); err == nil {
		t.Error("an empty plan is explained")
	}
}

func ExampleExplain() {
	dockerfile := `FROM --platform=$BUILDPLATFORM tools AS build
ARG TARGETARCH
RUN make deps
RUN make ARCH=$TARGETARCH
FROM scratch
COPY --from=build /out /
`
	platforms, err := planner.ParsePlatforms("linux/amd64,linux/arm64")
	if err != nil {
		log.Fatal(err)
	}
	result, err := exact.Plan(context.Background(), exact.Options{
		Dockerfile: []byte(dockerfile), Platforms: platforms, BuildPlatform: platforms[0], Resolver: amd64Only{},
	})
	if err != nil {
		log.Fatal(err)
	}
	explanation, err := exact.Explain(result, 4)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(explanation.Command, "runs", len(explanation.Runs), "times")
	for _, cause := range explanation.Causes {
		for _, d := range cause.Differs {
			fmt.Printf("line %d: %s %s, mentioned %t\n", cause.Line, cause.Kind, d.Name, d.Mentioned)
		}
	}
	// Output:
	// RUN make ARCH=$TARGETARCH runs 2 times
	// line 3: variable TARGETARCH, mentioned false
}
