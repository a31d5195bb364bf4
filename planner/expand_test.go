package planner_test

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

func TestExpandErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		text   string
		target string
		want   string
		agrees bool // BuildKit refuses the file, too
	}{
		{
			name: "empty", text: "",
			want: "Dockerfile: file with no instructions", agrees: true,
		},
		{
			name: "arguments only", text: "ARG A=1\n",
			want: "Dockerfile: no stage to build; add a FROM instruction", agrees: true,
		},
		{
			name: "unknown instruction", text: "FROM scratch\n\nRUM true\n",
			want: "Dockerfile:3: unknown instruction: RUM (did you mean RUN?)", agrees: true,
		},
		{
			name: "instruction before FROM", text: "RUN true\n",
			want: "Dockerfile:1: no build stage in current context", agrees: true,
		},
		{
			name: "unterminated heredoc", text: "FROM scratch\nRUN <<EOF\ntrue\n",
			want: "Dockerfile:2: unterminated heredoc", agrees: true,
		},
		{
			name: "bad flag", text: "FROM scratch\nCOPY --form=a b c\n",
			want: "Dockerfile:2: unknown flag: --form (did you mean from?)", agrees: true,
		},
		{
			name: "unknown target", text: "FROM scratch AS build\nFROM scratch\nFROM scratch AS test\n", target: "biuld",
			want:   `Dockerfile: target stage "biuld" does not exist (did you mean build?); choose one of: build, test`,
			agrees: true,
		},
		{
			name: "no names", text: "FROM scratch\n", target: "Build",
			want: `Dockerfile: target stage "Build" does not exist, no stage has a name; write FROM … AS build`, agrees: true,
		},
		{
			name: "target by number without a name", text: "FROM debian\nFROM scratch\n", target: "0",
			want: "Dockerfile:1: target stage 0 has no name and builders take names only; write FROM debian AS NAME", agrees: true,
		},
		{
			name: "target by number with a name used twice", text: "FROM debian AS a\nFROM alpine AS a\n", target: "0",
			want: "Dockerfile:1: target stage 0 has the name a, which a later stage takes over; give it another name", agrees: true,
		},
		{
			name: "target by number too high", text: "FROM debian AS a\nFROM scratch\n", target: "2",
			want: `Dockerfile: target stage "2" does not exist; choose one of: a`, agrees: true,
		},
		{
			name: "circular", text: "FROM scratch AS a\nCOPY --from=c / /\nFROM scratch AS b\nFROM scratch AS c\nRUN --mount=from=a,target=/m true\n",
			want:   "Dockerfile:5: stage c: circular dependency a -> c -> a; move what both need to a stage of its own",
			agrees: true,
		},
		{
			name: "copy from itself", text: "FROM scratch AS a\nFROM scratch AS b\nCOPY --from=1 / /\n",
			want: "Dockerfile:3: stage b: circular dependency b -> b; move what both need to a stage of its own", agrees: true,
		},
		{
			name: "copy from a later stage", text: "FROM scratch AS a\nCOPY --from=b / /\nFROM a AS b\n",
			want:   "Dockerfile:2: stage a: cannot copy from stage b, which begins later at line 3; move that stage before this one",
			agrees: true,
		},
		{
			name: "stage number too high", text: "FROM scratch\nCOPY --from=1 / /\n",
			want: "Dockerfile:2: stage stage-0: COPY --from=1: there is no stage 1; stages are numbered from 0 to 0", agrees: true,
		},
		{
			name: "variable in --from", text: "ARG IMG=a\nFROM scratch\nCOPY --from=$IMG / /\n",
			want: "Dockerfile:3: stage stage-0: COPY --from=$IMG: variables and quotes are not allowed here; " +
				"give the image a stage of its own, FROM $IMG AS NAME with a global ARG, and copy from NAME",
			agrees: true,
		},
		{
			// case 2: an ARG inside a stage gives FROM nothing.
			name: "undeclared argument", text: "FROM scratch\nARG BASE=debian\nFROM $BASE AS b\n",
			want: "Dockerfile:3: stage b: for linux/arm64: FROM $BASE is empty: ARG BASE has no value; " +
				"give it a default in an ARG before the first FROM, or pass --build-arg BASE=VALUE",
			agrees: true,
		},
		{
			name: "incomplete reference", text: "ARG TAG\nFROM debian:$TAG\n",
			want: `Dockerfile:2: stage stage-0: for linux/arm64: FROM debian:$TAG is the incomplete reference "debian:": ` +
				"ARG TAG has no value; give it a default in an ARG before the first FROM, or pass --build-arg TAG=VALUE",
			agrees: true,
		},
		{
			name: "empty automatic argument", text: "FROM $TARGETVARIANT\n",
			want: "Dockerfile:1: stage stage-0: for linux/arm64: FROM $TARGETVARIANT is empty: " +
				"ARG TARGETVARIANT is empty here; choose another variable, or a default as in ${TARGETVARIANT:-VALUE}",
			agrees: true,
		},
		{
			name: "misspelled platform argument", text: "FROM --platform=$BUILDPLATFROM debian\n",
			want: "Dockerfile:1: stage stage-0: for linux/arm64: FROM --platform=$BUILDPLATFROM is empty: " +
				"ARG BUILDPLATFROM has no value (did you mean BUILDPLATFORM?)",
			agrees: true,
		},
		{
			name: "bad platform", text: "FROM --platform=linux/$TARGETARCH/a/b debian\n",
			want: `Dockerfile:1: stage stage-0: for linux/arm64: FROM --platform=linux/$TARGETARCH/a/b is no platform: ` +
				`"linux/arm64/a/b": cannot parse platform specifier: invalid argument; write it like linux/arm64`,
			agrees: true,
		},
		{
			name: "bad substitution", text: "ARG A=${B!x}\nFROM scratch\n",
			want: `Dockerfile:1: ARG A: expanding variables: failed to process "${B!x}": unsupported modifier (!) in substitution`, agrees: true,
		},
		{
			name: "bad trigger", text: "FROM scratch AS a\nONBUILD COPY x\nFROM a AS b\n",
			want: "Dockerfile:3: stage b: running ONBUILD of stage a: parsing ONBUILD COPY x: " +
				"COPY requires at least two arguments, but only one was provided. Destination could not be determined",
			agrees: true,
		},
		{
			name: "argument that doubles", text: "ARG A=xxxxxxxx\n" + strings.Repeat("ARG A=$A$A\n", 60) + "FROM scratch\n",
			want: "Dockerfile:16: ARG A: variables add more than 128 KiB to one word; shorten the ARG",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := planner.Options{
				Platforms: parse(t, "linux/arm64"), BuildPlatform: parse(t, "linux/amd64")[0], Target: tt.target,
			}
			_, err := planner.Expand([]byte(tt.text), opts)
			var located *planner.Error
			if !errors.As(err, &located) {
				t.Fatalf("got error %v, want an *Error", err)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Error(diff)
			}
			if !tt.agrees {
				return
			}
			if _, err := convert(t, tt.text, opts, opts.Platforms[0]); err == nil {
				t.Error("BuildKit accepts the file")
			}
		})
	}
}

func TestErrorKeepsCause(t *testing.T) {
	t.Parallel()
	_, err := planner.Expand([]byte("FROM scratch\nFORM x\n"), planner.Options{Filename: "dir/Containerfile"})
	var unknown *instructions.UnknownInstructionError
	if !errors.As(err, &unknown) || unknown.Instruction != "FORM" {
		t.Errorf("got %v, want the UnknownInstructionError", err)
	}
	if want := "dir/Containerfile:2: unknown instruction: FORM (did you mean FROM?)"; err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestUnreachedErrors has mistakes in stages that the target does not need:
// what BuildKit lets pass, Expand has to let pass.
func TestUnreachedErrors(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nFROM scratch AS last\n",
		"FROM scratch AS a\nONBUILD COPY x\nFROM a AS b\nFROM scratch\n",
		"FROM scratch AS a\nONBUILD COPY x\nFROM scratch\nCOPY --from=a / /\n",
		"FROM scratch AS a\nRUN --mount=from=later,type=bind,target=/m true\nFROM scratch AS later\nFROM scratch\n",
		"# check=skip=all\nFROM scratch\n# check=skip=JSONArgsRecommended\nCMD true\n",
		"FROM scratch AS base\nONBUILD COPY --from=final /x /y\nFROM base AS final\n",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			opts := planner.Options{BuildPlatform: parse(t, "linux/amd64")[0]}
			if !compare(t, text, opts, parse(t, "linux/arm64")[0]) {
				t.Error("refused")
			}
		})
	}
}

func TestExpandDefaults(t *testing.T) {
	t.Parallel()
	_, full := local()
	plan, err := planner.Expand([]byte("FROM --platform=$BUILDPLATFORM debian\nRUN a\n"), planner.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Jobs) != 1 || platforms.Format(plan.Jobs[0].Platform) != full {
		t.Errorf("got %v, want one job for %s", plan.Jobs, full)
	}
	if got := platforms.Format(plan.Jobs[0].Stages[0].Platform); got != full {
		t.Errorf("$BUILDPLATFORM is %s, want %s", got, full)
	}
	var bad *planner.PlatformError
	_, err = planner.Expand([]byte("FROM debian\n"), planner.Options{Platforms: []ocispec.Platform{{OS: "linux"}}})
	if !errors.As(err, &bad) {
		t.Errorf("platform without architecture: got %v, want a PlatformError", err)
	}
}

// TestBuilderFillsPlatforms checks that half a platform in FROM is completed
// from the builder, not from the machine that plans.
func TestBuilderFillsPlatforms(t *testing.T) {
	t.Parallel()
	text := "FROM --platform=linux debian AS a\nFROM --platform=amd64 debian AS b\nFROM --platform=armhf debian\nCOPY --from=a / /\nCOPY --from=b / /\n"
	plan, err := planner.Expand([]byte(text), planner.Options{BuildPlatform: parse(t, "freebsd/riscv64")[0]})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range plan.Jobs[0].Stages {
		got = append(got, platforms.Format(s.Platform))
	}
	if diff := cmp.Diff([]string{"linux/riscv64", "freebsd/amd64", "freebsd/arm/v7"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestForeign(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ runnable, platform, want string }{
		{"linux/amd64", "linux/amd64", "runs"},
		{"linux/amd64", "linux/amd64/v3", "foreign"},
		{"linux/amd64/v3", "linux/amd64/v2", "runs"},
		{"linux/amd64/v3", "linux/amd64", "runs"},
		{"linux/amd64/v3", "linux/amd64/v4", "foreign"},
		{"linux/amd64", "linux/386", "foreign"},
		{"linux/amd64,linux/386", "linux/386", "runs"},
		{"linux/386", "linux/amd64", "foreign"},
		// case 6
		{"linux/arm64/v8", "linux/arm64", "runs"},
		{"linux/arm64", "linux/arm64/v8", "runs"},
		{"linux/arm64", "linux/arm64/v9", "foreign"},
		{"linux/arm64/v9", "linux/arm64", "runs"},
		{"linux/arm64/v8.2", "linux/arm64/v8.1", "runs"},
		// case 7
		{"linux/arm64", "linux/arm/v7", "foreign"},
		{"linux/arm", "linux/arm/v7", "runs"},
		{"linux/arm/v7", "linux/arm/v6", "runs"},
		{"linux/arm/v7", "linux/arm/v5", "runs"},
		{"linux/arm/v6", "linux/arm/v7", "foreign"},
		{"linux/riscv64/rva22u64", "linux/riscv64", "runs"},
		{"linux/riscv64", "linux/riscv64/rva22u64", "foreign"},
		{"linux/riscv64/rva22u64", "linux/riscv64/rva22u64", "runs"},
		{"linux/ppc64le", "linux/ppc64", "foreign"},
		{"linux/amd64", "freebsd/amd64", "foreign"},
		{"windows(10.0.20348.1)/amd64", "windows(10.0.17763.1)/amd64", "runs"},
	} {
		t.Run(tt.runnable+" "+tt.platform, func(t *testing.T) {
			t.Parallel()
			plan, err := planner.Expand([]byte("FROM debian\nRUN true\n"), planner.Options{Platforms: parse(t, tt.platform)})
			if err != nil {
				t.Fatal(err)
			}
			got := "runs"
			if len(plan.Foreign(parse(t, tt.runnable))) > 0 {
				got = "foreign"
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if len(plan.Foreign(nil)) != 1 {
				t.Error("without any runnable platform the stage is not foreign")
			}
		})
	}
}

func TestForeignOnce(t *testing.T) {
	t.Parallel()
	// case 17: only stages with a RUN count, each once per platform.
	text := "FROM --platform=linux/riscv64 debian AS tool\nRUN a\nFROM debian AS files\nCOPY x y\nFROM debian\nRUN b\nCOPY --from=tool / /\nCOPY --from=files / /\n"
	plan, err := planner.Expand([]byte(text), planner.Options{Platforms: parse(t, "linux/arm64,linux/amd64,linux/s390x")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range plan.Foreign(parse(t, "linux/amd64")) {
		got = append(got, fmt.Sprintf("%s:%d %s", s.Name, s.RunLine, platforms.Format(s.Platform)))
	}
	if diff := cmp.Diff([]string{"tool:2 linux/riscv64", "stage-2:6 linux/arm64", "stage-2:6 linux/s390x"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestConcurrent is for the race detector, and checks that jobs share nothing.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	opts := planner.Options{Platforms: parse(t, "linux/amd64,linux/arm64"), Args: map[string]string{"A": "debian"}}
	text := []byte("ARG A\nFROM $A AS a\nONBUILD RUN --mount=from=busybox,target=/m x\nFROM a\nCOPY --from=a / /\n")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			plan, err := planner.Expand(text, opts)
			if err != nil {
				t.Error(err)
				return
			}
			plan.Jobs[0].Args["A"] = "changed"
			if plan.Jobs[1].Args["A"] != "debian" {
				t.Error("jobs share their arguments")
			}
		})
	}
	group.Wait()
	if opts.Args["A"] != "debian" {
		t.Error("the caller's arguments are changed")
	}
}

// TestWeight keeps the package usable without gRPC and BuildKit's client.
func TestWeight(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Skipf("no go command to ask: %v", err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		for _, heavy := range []string{"google.golang.org/grpc", "github.com/moby/buildkit/client", "github.com/moby/buildkit/solver", "net/http"} {
			if dep == heavy || strings.HasPrefix(dep, heavy+"/") {
				t.Errorf("planner depends on %s", dep)
			}
		}
	}
}
