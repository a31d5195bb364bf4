package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/solver/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"

	"github.com/mabuild/mabuild/builder/bases"
	"github.com/mabuild/mabuild/builder/engine"
	registryclient "github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
)

// goProgram is a module with several packages, generated code, assembly, an
// embedded file and floating point. It imports next to nothing: under an emulator
// every package takes seconds.
var goProgram = map[string]string{
	"go.mod": "module example.com/app\n\ngo 1.26\n",
	"main.go": `package main

import (
	_ "embed"

	"example.com/app/sum"
	"example.com/app/words"
)

//go:embed motto.txt
var motto string

func main() { println(motto, sum.Add(40, 2), sum.Ratio(1, 3), words.Count("a b a"), sum.Made) }
`,
	"sum/sum.go": `// Package sum adds.
package sum

//go:generate sh -c "echo package sum > made.go; echo const Made = \\\"$(uname -m)\\\" >> made.go"

const tiny = 1.0 / 3 * 1e-300

// Ratio divides.
func Ratio(a, b float64) float64 { return a/b*0.1 + tiny }
`,
	"sum/add_arm64.s":  "#include \"textflag.h\"\n\n// func Add(a, b int) int\nTEXT ·Add(SB), NOSPLIT, $0-24\n\tMOVD a+0(FP), R0\n\tMOVD b+8(FP), R1\n\tADD R1, R0\n\tMOVD R0, ret+16(FP)\n\tRET\n",
	"sum/add_arm64.go": "package sum\n\n// Add adds.\nfunc Add(a, b int) int\n",
	"sum/add_other.go": "//go:build !arm64\n\npackage sum\n\n// Add adds.\nfunc Add(a, b int) int { return a + b }\n",
	"sum/sum_test.go":  "package sum\n\nimport (\n\t\"runtime\"\n\t\"testing\"\n)\n\nfunc TestAdd(t *testing.T) {\n\tif Add(1, 2) != 3 || Made != \"aarch64\" || runtime.GOARCH != \"arm64\" {\n\t\tt.Fatal(Made, runtime.GOARCH)\n\t}\n}\n",
	"words/words.go":   "// Package words counts.\npackage words\n\n// Count counts.\nfunc Count(s string) int {\n\tn := map[rune]int{}\n\tfor _, r := range s {\n\t\tn[r]++\n\t}\n\treturn len(n)\n}\n",
	"motto.txt":        "hello",
	".dockerignore":    "Dockerfile*\n",
	// A module of its own: the other one builds without a C compiler.
	"c/go.mod":  "module example.com/c\n\ngo 1.26\n",
	"c/main.go": "package main\n\n/*\nstatic int twice(int x) { return 2 * x; }\nenum { LONG = sizeof(long double) };\n*/\nimport \"C\"\n\nfunc main() { println(C.twice(21), C.LONG) }\n",
}

// goBuild is the stage that the tests begin with: it is built plainly once.
const goBuild = `FROM golang:1.26 AS build
WORKDIR /src
COPY . .
RUN go generate ./sum && go vet ./words
RUN \
  # the linker runs natively, too
  go build -o /out/app .
# the go command runs natively, too, and finds what the emulated one has compiled
RUN --mount=type=secret,id=token CGO_ENABLED=0 go build -gcflags=-l -ldflags="-s -w" -o /out/small . && cat /run/secrets/token > /out/token.txt
RUN <<EOF
set -e
go tool compile -V=full > /out/tool.txt
go version -m /out/app /out/small > /out/version.txt
go env GOARCH GOHOSTARCH GOHOSTOS GOROOT > /out/env.txt
/out/app 2> /out/said.txt
EOF
`

const goDockerfile = goBuild + `
FROM build AS tests
RUN go vet ./... && go test -count=1 -coverprofile=/cover.txt ./sum && go tool cover -func=/cover.txt
# nm is none of the tools that come with Go 1.25 and later: go builds it itself.
RUN go install ./... && test -x /go/bin/app && go tool nm /out/app | grep -q main.main

FROM scratch
COPY --from=build /out /out
COPY --from=build /usr/local/go/pkg/tool /tool
`

// TestAssistGo builds programs for arm64 plainly and with native tools.
func TestAssistGo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{{"every file", assistGo}, {"prove", proveGo}, {"cgo", assistCgo}} {
		t.Run(test.name, test.run)
	}
}

// assistGo compares every file of the stage that compiles.
func assistGo(t *testing.T) {
	lab := newAssistLab(t, goProgram, goDockerfile)
	var edits []assist.Edit
	for _, target := range []string{"", "tests"} {
		result := lab.plan(t, target)
		for _, step := range result.Steps {
			if step.Recipe != "go" {
				t.Errorf("line %d is not assisted: %s", step.Line, step.Reason)
			}
		}
		edit, err := result.Apply("linux/arm64")
		if err != nil || !edit.Changed {
			t.Fatalf("applying: %v, changed %t", err, edit.Changed)
		}
		if len(edit.Secrets) != 1 {
			t.Errorf("the go command is nowhere native:\n%s", edit.Text)
		}
		edits = append(edits, edit)
		untouched, err := result.Apply("linux/amd64")
		if err != nil || untouched.Changed {
			t.Errorf("the job of the builder's own platform gets another file (%v)", err)
		}
		_, took := lab.build(t, edit, target)
		t.Logf("target %q with native tools: %.1f s", target, took.Seconds())
	}
	// The stage that compiles has what the last one copies from it.
	assisted, assistedTime := lab.build(t, edits[0], "build")
	plain, plainTime := lab.build(t, assist.Edit{Text: []byte(goDockerfile)}, "build")
	t.Logf("plain %.1f s, assisted %.1f s (steps in the cache), %d bytes", plainTime.Seconds(), assistedTime.Seconds(), len(plain))
	differences, err := assist.CompareTars(bytes.NewReader(plain), bytes.NewReader(assisted))
	if err != nil {
		t.Fatal(err)
	}
	for _, difference := range differences {
		switch {
		case strings.HasPrefix(difference.Name, "root/.config/go/telemetry/"):
			t.Logf("%s", difference) // counts of starts, with the tool's platform and the date
		case strings.HasPrefix(difference.Name, "root/.cache/go-build/"):
			// has times in it
		default:
			t.Errorf("%s", difference)
		}
	}
}

// proveGo is the same by the command. Its steps are in the cache by now.
func proveGo(t *testing.T) {
	files := maps.Clone(goProgram)
	files["Dockerfile"] = goDockerfile
	dir := project(t, files)
	proved := mabuild(t, "assist", "prove", "--assist=go", "--platform", "linux/arm64", "--progress=plain", "--secret", "id=token,src="+filepath.Join(dir, "motto.txt"), dir)
	for _, want := range []string{"native tools of recipe go", "Every file is the same"} {
		if !strings.Contains(proved.stderr, want) {
			t.Errorf("%q is not said:\n%s", want, proved.stderr)
		}
	}
	if strings.Contains(proved.stderr, "--mount=type=bind,from=mabuild") || strings.Contains(proved.stderr, "id=mabuild-assist") {
		t.Errorf("progress shows the mounts:\n%s", proved.stderr)
	}
	fails(t, command(t, "assist", "prove", "--platform", "linux/amd64,linux/arm64", dir), 2, "--platform linux/arm64")
	none := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"})
	fails(t, command(t, "assist", "prove", "--platform", "linux/arm64", none), 2, "no recipe knows busybox")
}

// assistCgo has a native compiler that calls an emulated one, and a native
// linker that calls an emulated one: the C compiler stays the target's.
func assistCgo(t *testing.T) {
	const dockerfile = goBuild + `
FROM build AS cgo
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src/c
RUN go build -ldflags=-linkmode=external -o /c/app . && /c/app 2> /c/said.txt
FROM scratch
COPY --from=cgo /c /c
`
	lab := newAssistLab(t, goProgram, dockerfile)
	edit, err := lab.plan(t, "").Apply("linux/arm64")
	if err != nil || len(edit.Contexts) != 1 {
		t.Fatalf("applying: %v, contexts %v", err, edit.Contexts)
	}
	assisted, assistedTime := lab.build(t, edit, "")
	plain, plainTime := lab.build(t, assist.Edit{Text: []byte(dockerfile)}, "")
	t.Logf("assisted %.1f s, with apt-get; plain %.1f s, without", assistedTime.Seconds(), plainTime.Seconds())
	differences, err := assist.CompareTars(bytes.NewReader(plain), bytes.NewReader(assisted))
	if err != nil || len(differences) > 0 {
		t.Errorf("the builds differ: %v %v", differences, err)
	}
}

// TestAssistErrors sees a failing command at its own line and by its own name,
// with and without native tools.
func TestAssistErrors(t *testing.T) {
	t.Parallel()
	const dockerfile = "FROM golang:1.26 AS build\nWORKDIR /src\nRUN --network=none \\\n  go version && false\n"
	lab := newAssistLab(t, nil, dockerfile)
	edit, err := lab.plan(t, "").Apply("linux/arm64")
	if err != nil || !edit.Changed {
		t.Fatalf("applying: %v, changed %t", err, edit.Changed)
	}
	var lines, steps [2]string
	for i, edit := range []assist.Edit{{Text: []byte(dockerfile)}, edit} {
		_, names, err := lab.solve(t.Context(), t.TempDir(), edit, "")
		if err == nil {
			t.Fatal("a command that fails succeeded")
		}
		for _, source := range errdefs.Sources(err) {
			for _, r := range source.Ranges {
				lines[i] += fmt.Sprintf("%d-%d ", r.Start.Line, r.End.Line)
			}
		}
		t.Logf("%v\n%s", err, strings.Join(names, "\n"))
		if at := slices.IndexFunc(names, func(name string) bool { return strings.Contains(name, "go version") }); at >= 0 {
			steps[i] = names[at]
		}
		for _, name := range names {
			if strings.HasPrefix(name, "warning:") {
				t.Errorf("the build warns: %s", name)
			}
		}
	}
	if lines[0] != "3-3 4-4 " || lines[1] != lines[0] {
		t.Errorf("the error is at lines %q without and %q with native tools, want 3 and 4", lines[0], lines[1])
	}
	// A file with one stage has no names of stages; the named context is a second one.
	if after := strings.Replace(assist.StepName(steps[1]), "[build ", "[", 1); after == steps[1] || after != steps[0] {
		t.Errorf("the step is called %q without and %q with native tools", steps[0], steps[1])
	}
}

// assistLab builds one Dockerfile on the engine in different ways.
type assistLab struct {
	dir      string
	text     string
	client   *client.Client
	registry *registryclient.Client
}

func newAssistLab(t *testing.T, files map[string]string, dockerfile string) *assistLab {
	t.Helper()
	if platforms.DefaultSpec().Architecture != "amd64" {
		t.Skip("the test is written for arm64 on amd64")
	}
	mabuild(t, "engine", "du") // starts the engine
	c, err := client.New(t.Context(), "unix://"+filepath.Join(shared.state, "engine.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	config, err := engine.LoadConfig(shared.config)
	if err != nil {
		t.Fatal(err)
	}
	files = maps.Clone(files)
	if files == nil {
		files = map[string]string{}
	}
	files["Dockerfile"] = dockerfile
	return &assistLab{
		dir: project(t, files), text: dockerfile, client: c,
		registry: registryclient.New(registryclient.Options{Hosts: config.Registries}),
	}
}

// proofs is where the binary keeps, too, what comparing images found out.
func proofs() string { return filepath.Join(filepath.Dir(shared.state), "cache", "mabuild", "assist") }

// plan decides twice: the second time without access to layers.
func (l *assistLab) plan(t *testing.T, target string) *assist.Result {
	t.Helper()
	native := platforms.DefaultSpec()
	resolver := bases.New(bases.Options{Registry: l.registry, Dir: t.TempDir()})
	plan, err := exact.Plan(t.Context(), exact.Options{
		Dockerfile: []byte(l.text), Platforms: []ocispec.Platform{native, {OS: "linux", Architecture: "arm64"}}, BuildPlatform: native,
		Context: l.dir, DockerfileDir: l.dir, Resolver: resolver, Target: target,
	})
	if err != nil {
		t.Fatal(err)
	}
	opts := assist.Options{Dockerfile: []byte(l.text), Resolver: resolver, Content: l.registry, Cache: proofs(), Context: l.dir}
	started := time.Now()
	if _, err := assist.Plan(t.Context(), plan, opts); err != nil {
		t.Fatal(err)
	}
	first := time.Since(started)
	opts.Content = nil
	started = time.Now()
	result, err := assist.Plan(t.Context(), plan, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("deciding took %v, and %v without access to layers", first.Round(time.Millisecond), time.Since(started).Round(10*time.Microsecond))
	return result
}

// build returns the files that one way of writing the Dockerfile makes for arm64.
func (l *assistLab) build(t *testing.T, edit assist.Edit, target string) ([]byte, time.Duration) {
	t.Helper()
	started := time.Now()
	files, _, err := l.solve(t.Context(), t.TempDir(), edit, target)
	if err != nil {
		t.Fatal(err)
	}
	return files, time.Since(started)
}

// solve also returns the names of the steps, and warnings.
func (l *assistLab) solve(ctx context.Context, dir string, edit assist.Edit, target string) ([]byte, []string, error) {
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), edit.Text, 0o600); err != nil {
		return nil, nil, err
	}
	recipe, err := fsutil.NewFS(dir)
	if err != nil {
		return nil, nil, err
	}
	files, err := fsutil.NewFS(l.dir)
	if err != nil {
		return nil, nil, err
	}
	attrs := map[string]string{"platform": "linux/arm64", "target": target}
	for name, value := range edit.Contexts {
		attrs["context:"+name] = value
	}
	secrets := map[string][]byte{"token": []byte("open sesame")}
	maps.Copy(secrets, edit.Secrets)
	var out bytes.Buffer
	var names []string
	status, done := make(chan *client.SolveStatus), make(chan struct{})
	go func() {
		defer close(done)
		for st := range status {
			for _, v := range st.Vertexes {
				if !slices.Contains(names, v.Name) {
					names = append(names, v.Name)
				}
			}
			for _, w := range st.Warnings {
				names = append(names, "warning: "+string(w.Short))
			}
		}
	}()
	_, err = l.client.Solve(ctx, nil, client.SolveOpt{
		Frontend: "dockerfile.v0", FrontendAttrs: attrs, Session: []session.Attachable{secretsprovider.FromMap(secrets)},
		LocalMounts: map[string]fsutil.FS{"context": files, "dockerfile": recipe},
		Exports: []client.ExportEntry{{Type: client.ExporterTar, Output: func(map[string]string) (io.WriteCloser, error) {
			return discardClose{&out}, nil
		}}},
	}, status)
	<-done
	return out.Bytes(), names, err
}

type discardClose struct{ io.Writer }

func (discardClose) Close() error { return nil }
