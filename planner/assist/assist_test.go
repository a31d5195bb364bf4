package assist_test

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
)

// decisions writes down what was decided: line, recipe or part of the reason.
func decisions(result *assist.Result) string {
	var b strings.Builder
	for _, s := range result.Steps {
		fmt.Fprintf(&b, "%d %s: ", s.Line, strings.Join(s.Platforms, ","))
		if s.Recipe != "" {
			b.WriteString(s.Recipe)
		} else {
			b.WriteString("not: " + s.Reason)
		}
		if s.Note != "" {
			b.WriteString(" (" + s.Note + ")")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestCommands is what commands get on a stage FROM golang, and whether a go build
// after them gets it, too.
func TestCommands(t *testing.T) {
	const note = " (note)"
	tests := []struct {
		command string
		want    string // go, or part of the reason
		after   bool   // of a go build that follows
	}{
		{"RUN go build ./...", "go", true},
		{"run go build ./...", "go", true},
		{"RUN CGO_ENABLED=1 GOFLAGS=-mod=vendor go build -o /out .", "go", true},
		{`RUN ["go", "build", "./..."]`, "go", true},
		{`RUN ["/usr/local/go/bin/go", "build"]`, "go", true},
		{`RUN ["sh", "-ec", "go vet ./..."]`, "go", true},
		{"RUN cd /src && if true; then go test ./...; fi", "go", true},
		{"RUN xargs -n1 go install < tools.txt", "go", true},
		{"RUN env GOOS=js go build", "go", true},
		{"RUN go generate ./... && go vet ./...", "go", true},
		{"RUN go tool cover -func=c.out", "go", true},
		{"RUN go mod download", "go", true},
		{"RUN x=$(go list -m) && echo $x", "go", true},
		{"RUN make build", "go" + note, true},
		{"RUN ./build.sh", "go" + note, true},
		{"RUN sh build.sh", "go" + note, true},
		{"RUN $BUILDER", "go" + note, true},
		{"RUN cp $(go env GOROOT)/lib/wasm/wasm_exec.js /out/", "go", true},
		{"RUN cp /usr/local/go/lib/time/zoneinfo.zip / && go build", "go", true},
		{"RUN export PATH=$PATH:/usr/local/go/bin && go build", "go", true},
		{"RUN echo 'export PATH=$PATH:/usr/local/go/bin' >> ~/.profile && go version", "go", true},
		{"RUN apt-get update && apt-get install -y git", "does not use", true},
		{"RUN mkdir -p /out", "does not use", true},
		{"RUN echo going", "does not use", true},
		{"RUN cp -a /usr/local/go /out", "Go's own directory", false},
		{"RUN tar c -C / usr/local/go > /x.tar", "Go's own directory", false},
		{"RUN tar cf /x.tar $(go env GOROOT)", "Go's own directory", false},
		{"RUN cp -a $GOROOT/pkg /out", "Go's own directory", false},
		{"RUN cd /usr/local && tar cz go > /x.tgz", "works in /usr/local", false},
		{"RUN cp -r /usr/local /out", "works on /usr/local", false},
		{"RUN rm -rf /usr/local/go && go build", "Go's own directory", false},
		{"RUN curl -L x | tar -C /usr/local -xz", "works on /usr/local", false},
		{"RUN $(go env GOTOOLDIR)/compile x.go", "Go's own directory", false},
		{"RUN strip /usr/local/go/pkg/tool/*/*", "Go's own directory", false},
		{"RUN echo x > /usr/local/go/pkg/tool/x", "Go's own directory", false},
		{"RUN go tool dist env", "describes the machine", false},
		{"RUN go install cmd/vet", "Go's own programs", false},
		{"RUN go install std", "Go's own programs", false},
		{"RUN go install cmd/...", "Go's own programs", false},
		{"RUN go install example.com/cmd/x@latest", "go", true},
		{"RUN go get toolchain@go1.27.0", "changes the toolchain", false},
		{"RUN GOTOOLCHAIN=go1.27.0 go build", "sets GOTOOLCHAIN", false},
		{"RUN GOROOT=/opt/go go build", "sets GOROOT", false},
		{"RUN export GOTOOLDIR=/x; go build", "sets GOTOOLDIR", false},
		{"RUN env GOTOOLDIR=/x go build", "sets GOTOOLDIR", false},
		{"RUN cp -r a/. /", "cp works on /", false},
		{"RUN find / -name x -delete", "find works on /", false},
		{"RUN go build -toolexec=/bin/time .", "-toolexec", false},
		{"RUN cd $(go env GOROOT)/src && ./make.bash", "builds Go itself", false},
		{"RUN --mount=type=cache,target=/root/.cache/go-build go build", "go", true},
		{"RUN --mount=type=bind,from=debian,target=/usr/local/go go build", "mounts /usr/local/go itself", true},
		{"RUN --mount=type=cache,target=/usr/local go build", "mounts /usr/local itself", true},
		{"RUN --network=none --mount=type=tmpfs,target=/tmp go test ./...", "go", true},
		{"RUN <<EOF\ngo build\nEOF", "go", true},
		{"RUN <<-EOF bash\n\tgo build\nEOF", "go" + note, true},
		{"RUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF", "go" + note, true},
		{"ENV GOROOT=/opt/go\nRUN go build", "GOROOT is set", false},
		{"ENV GOTOOLDIR=/opt/go\nRUN go build", "GOTOOLDIR is set", false},
		{"USER nobody\nRUN go build", "go", true},
		{"COPY a b /usr/local/\nRUN go build", "may put something into /usr/local/go", false},
		{"COPY x /usr/local/go/\nRUN go build", "puts something into /usr/local/go", false},
		{"COPY --from=debian / /\nRUN go build", "may put something", false},
		{"COPY --from=debian /etc/x.conf /\nRUN go build", "go", true},
		{"COPY --from=debian /bin/x /usr/local/bin/\nRUN go build", "go", true},
		{"ADD go.tar.gz /usr/local\nRUN go build", "may put something", false},
		{"ADD https://example.com/go.tar.gz /\nRUN go build", "may put something", false},
		{"WORKDIR /usr/local\nCOPY . go\nRUN go build", "puts something into /usr/local/go", false},
		{"ARG dir=/usr/local/go\nCOPY . $dir\nRUN go build", "puts something into /usr/local/go", false},
	}
	w := usual(t)
	for _, test := range tests {
		t.Run(test.command, func(t *testing.T) {
			text := "FROM golang:1.26\nWORKDIR /src\n" + test.command + "\nRUN go build last.go\n"
			_, result := planOf(t, w, text, "linux/arm64", nil)
			if len(result.Steps) != 2 {
				t.Fatalf("%d steps are emulated:\n%s", len(result.Steps), decisions(result))
			}
			first, last := result.Steps[0], result.Steps[1]
			want, noted := strings.CutSuffix(test.want, note)
			if want == "go" && (first.Recipe != "go" || noted != (first.Note != "")) || want != "go" && (first.Recipe != "" || !strings.Contains(first.Reason, want)) {
				t.Errorf("got %swant %s", decisions(result), test.want)
			}
			if (last.Recipe == "go") != test.after {
				t.Errorf("a go build afterwards gets %q (%s)", last.Recipe, last.Reason)
			}
		})
	}
}

// TestStages is which stages have tools, and which jobs get which file.
func TestStages(t *testing.T) {
	tests := []struct{ name, text, platforms, want string }{
		{"native platform", "FROM golang:1.26\nRUN go build\n", "linux/amd64", ""},
		{"two targets", "FROM golang:1.26\nRUN go build\n", "linux/amd64,linux/arm64,linux/s390x", "2 linux/arm64: go\n2 linux/s390x: go\n"},
		{"stages on stages", "FROM golang:1.26 AS a\nRUN go env\nFROM a AS b\nFROM b\nRUN go build\n", "linux/arm64", "2 linux/arm64: go\n5 linux/arm64: go\n"},
		{"spoiled by a parent", "FROM golang:1.26 AS a\nRUN rm -rf /usr/local/go\nFROM a\nRUN go build\n", "linux/arm64", "2 linux/arm64: not: it uses Go's own directory (/usr/local/go)\n4 linux/arm64: not: line 2: it uses Go's own directory (/usr/local/go)\n"},
		{"a copy elsewhere does not matter", "FROM golang:1.26 AS a\nRUN go build\nFROM debian\nCOPY --from=a /usr/local/go /usr/local/go\nRUN go build\n", "linux/arm64", "2 linux/arm64: go\n5 linux/arm64: not: no recipe knows debian\n"},
		{"build platform is native", "FROM --platform=$BUILDPLATFORM golang:1.26 AS a\nRUN go build\nFROM golang:1.26\nCOPY --from=a /x /x\nRUN go vet\n", "linux/amd64,linux/arm64", "5 linux/arm64: go\n"},
		{"foreign for all", "FROM --platform=linux/arm64 golang:1.26 AS a\nRUN go build\nFROM debian\nCOPY --from=a /x /x\n", "linux/amd64,linux/arm64", "2 linux/amd64,linux/arm64: go\n"},
		{"scratch", "FROM scratch\nCOPY x /\nRUN [\"/x\"]\n", "linux/arm64", "3 linux/arm64: not: stage stage-0 is not built from an image\n"},
		{"the same step twice", "FROM golang:1.26 AS a\nRUN go build\nFROM golang:1.26 AS b\nRUN go build\nFROM a\nCOPY --from=b /x /x\n", "linux/arm64", "2 linux/arm64: go\n"},
		{"ONBUILD of a stage", "FROM golang:1.26 AS a\nONBUILD RUN go build\nFROM a\nRUN go vet\n", "linux/arm64", "3 linux/arm64: not: it is no RUN of this file (ONBUILD of a base)\n4 linux/arm64: go\n"},
		{"ONBUILD that spoils", "FROM golang:1.26 AS a\nONBUILD RUN rm -r /usr/local/go\nFROM a\nRUN go vet\n", "linux/arm64", "3 linux/arm64: not: it is no RUN of this file (ONBUILD of a base)\n4 linux/arm64: not: ONBUILD at line 3: it uses Go's own directory (/usr/local/go)\n"},
		{"keyword in two lines", "FROM golang:1.26\nR\\\nUN go build\n", "linux/arm64", "2 linux/arm64: not: it is no RUN of this file (ONBUILD of a base)\n"},
		{"unknown frontend", "# syntax=example.com/mine\nFROM golang:1.26\nRUN go build\n", "linux/arm64", "3 linux/arm64: not: the frontend example.com/mine decides what it means\n"},
		{"old frontend", "# syntax=docker/dockerfile:1.2\nFROM golang:1.26\nRUN go build\n", "linux/arm64", "3 linux/arm64: not: the frontend docker/dockerfile:1.2 is older than 1.4 and has no named contexts\n"},
		{"current frontend", "# syntax=docker/dockerfile:1\nFROM golang:1.26\nRUN go build\n", "linux/arm64", "3 linux/arm64: go\n"},
	}
	w := usual(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan, result := planOf(t, w, test.text, test.platforms, nil)
			if diff := cmp.Diff(test.want, decisions(result)); diff != "" {
				t.Errorf("wrong decisions (-want +got):\n%s", diff)
			}
			for _, job := range plan.Platforms {
				edit, err := result.Apply(job)
				if err != nil {
					t.Fatal(err)
				}
				checkEdit(t, plan, result, job, edit, w)
			}
		})
	}
}

// checkEdit plans the edited file again: steps that run natively, and steps that
// jobs share, must stay what they were.
func checkEdit(t *testing.T, plan *exact.Result, result *assist.Result, job string, edit assist.Edit, w *world) {
	t.Helper()
	assisted := map[digest.Digest]bool{}
	for _, s := range result.Steps {
		assisted[s.ID] = s.Recipe != "" && slices.Contains(s.Platforms, job)
	}
	if want := slices.ContainsFunc(result.Steps, func(s assist.Step) bool { return assisted[s.ID] }); edit.Changed != want {
		t.Errorf("the file for %s is changed: %t, want %t", job, edit.Changed, want)
	}
	if plan.Approximate {
		return
	}
	for _, context := range edit.Contexts { // BuildKit asks for the digest alone
		ref := strings.TrimPrefix(context, "docker-image://")
		name, d, _ := strings.Cut(ref, "@")
		base := *w.bases[name]
		at := slices.IndexFunc(base.Manifests, func(m ocispec.Descriptor) bool { return string(m.Digest) == d })
		w.bases[ref] = &exact.Base{Ref: ref, Digest: digest.Digest(d), MediaType: ocispec.MediaTypeImageManifest, Manifests: base.Manifests[at : at+1]}
	}
	again, err := exact.Plan(t.Context(), exact.Options{
		Dockerfile: edit.Text, Platforms: []ocispec.Platform{parse(t, job)}, BuildPlatform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		Resolver: w, NamedContexts: edit.Contexts,
	})
	if err != nil {
		t.Fatalf("the edited file cannot be planned: %v\n%s", err, edit.Text)
	}
	ids := map[digest.Digest]bool{}
	for _, s := range again.Steps {
		ids[s.ID] = true
		if s.Kind == "exec" && s.State == exact.StateNative && slices.ContainsFunc(s.Mounts, func(m exact.Mount) bool { return strings.HasPrefix(m.Target, "/usr/local/go") }) {
			t.Errorf("the native step at line %d has mounts", s.Line)
		}
	}
	for _, s := range plan.Steps {
		if s.State == exact.StateNative && slices.Contains(s.Platforms, job) && !ids[s.ID] {
			t.Errorf("the native step at line %d is another one in the file for %s", s.Line, job)
		}
	}
}

// TestImages is which pairs of images fit.
func TestImages(t *testing.T) {
	amd64, arm64 := goVariant("amd64", "1.26.8"), goVariant("arm64", "1.26.8")
	const tools = "usr/local/go/pkg/tool/linux_"
	tests := []struct {
		name     string
		variants []variant
		want     string
	}{
		{"pair", []variant{amd64, arm64}, "go"},
		{"derived image", []variant{
			amd64.with(func(v *variant) { v.layers = append(v.layers, layer{"opt/x": "x"}) }),
			arm64.with(func(v *variant) { v.layers = append(v.layers, layer{"opt/x": "y"}) }),
		}, "go"},
		{"no native image", []variant{arm64}, "has no image for the builder's platform linux/amd64"},
		{"other version", []variant{goVariant("amd64", "1.26.7"), arm64}, "Go 1.26.8 for linux/arm64 and Go 1.26.7 for linux/amd64"},
		{"no version there", []variant{amd64.with(func(v *variant) { v.env = nil }), arm64}, "Go none for linux/amd64"},
		{"development version", []variant{goVariant("amd64", "devel-abc"), goVariant("arm64", "devel-abc")}, "is no release"},
		{"version file differs", []variant{amd64.with(func(v *variant) {
			v.layers = append(v.layers, layer{"usr/local/go/VERSION": "go1.26.8\ntime yesterday\n"})
		}), arm64}, "VERSION differs"},
		{"version file says otherwise", []variant{amd64.with(func(v *variant) {
			v.layers = append(v.layers, layer{"usr/local/go/VERSION": "go1.26.9\n"})
		}), arm64}, `says "go1.26.9" for linux/amd64`},
		{"removed by a later layer", []variant{amd64, arm64.with(func(v *variant) {
			v.layers = append(v.layers, layer{"usr/local/.wh.go": ""})
		})}, "has no " + "/" + tools + "arm64 to mount over"},
		{"opaque directory", []variant{amd64, arm64.with(func(v *variant) {
			v.layers = append(v.layers, layer{tools + "arm64/.wh..wh..opq": "", tools + "arm64/": ""})
		})}, "no compiler and linker"},
		{"one tool removed", []variant{amd64, arm64.with(func(v *variant) {
			v.layers = append(v.layers, layer{tools + "arm64/.wh.asm": ""})
		})}, "don't have the same tools"},
		{"more tools", []variant{amd64.with(func(v *variant) {
			v.layers = append(v.layers, layer{tools + "amd64/extra": program(elf.EM_X86_64, "")})
		}), arm64}, "don't have the same tools"},
		{"dynamic tool", []variant{amd64.with(func(v *variant) {
			v.layers = append(v.layers, layer{tools + "amd64/link": program(elf.EM_X86_64, "/lib/ld-musl-x86_64.so.1")})
		}), arm64}, "needs a loader"},
		{"wrong machine", []variant{amd64.with(func(v *variant) {
			v.layers = append(v.layers, layer{tools + "amd64/link": program(elf.EM_AARCH64, "")})
		}), arm64}, "it is a program for EM_AARCH64"},
		{"script as tool", []variant{amd64.with(func(v *variant) {
			v.layers = append(v.layers, layer{tools + "amd64/link": "#!/bin/sh\n"})
		}), arm64}, "it is no program"},
		{"link on the way", []variant{amd64, arm64.with(func(v *variant) {
			v.layers = append(v.layers, layer{"usr/local/go -> /opt/go": ""})
		})}, "has no /usr/local/go/pkg/tool/linux_arm64 to mount over"},
		{"built on Alpine", []variant{amd64.with(func(v *variant) {
			v.layers = append(v.layers, layer{defaults: "const defaultGOEXPERIMENT = ``\nconst defaultGO_LDSO = `/lib/ld-musl-x86_64.so.1`\n"})
		}), arm64}, "built for the loader /lib/ld-musl-x86_64.so.1"},
		{"built with experiments", []variant{amd64.with(func(v *variant) {
			v.layers = append(v.layers, layer{defaults: "const defaultGOEXPERIMENT = `x`\nconst defaultGO_LDSO = ``\n"})
		}), arm64}, "built with different settings"},
		{"other default variant", []variant{amd64.with(func(v *variant) {
			v.layers = append(v.layers, layer{defaults: "const defaultGOEXPERIMENT = ``\nconst DefaultGOARM = `6`\nconst defaultGO_LDSO = ``\n"})
		}), arm64}, "go"},
		{"without sources", []variant{amd64, arm64.with(func(v *variant) {
			v.layers = append(v.layers, layer{"usr/local/go/.wh.src": ""})
		})}, "what Go for linux/arm64 was built with is not known"},
		{"own GOROOT", []variant{amd64, arm64.with(func(v *variant) { v.env = append(v.env, "GOROOT=/opt/go") })}, "sets GOROOT"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			w.image(t, "mine", test.variants...)
			_, result := planOf(t, w, "FROM mine\nRUN go build\n", "linux/arm64", nil)
			got := result.Steps[0]
			if test.want == "go" && got.Recipe != "go" || test.want != "go" && (got.Recipe != "" || !strings.Contains(got.Reason, test.want)) {
				t.Errorf("got %swant %s", decisions(result), test.want)
			}
		})
	}
}

// TestOptions is what the build around the Dockerfile changes.
func TestOptions(t *testing.T) {
	context := t.TempDir()
	write(t, filepath.Join(context, "go.mod"), "module m\n\ngo 1.25\n\ntoolchain go1.27.1\n")
	write(t, filepath.Join(context, "rootfs/usr/local/go/x"), "x")
	write(t, filepath.Join(context, "etc/x"), "x")
	older := t.TempDir()
	write(t, filepath.Join(older, "go.mod"), "module m\n\ngo 1.25.0\n")
	const build = "RUN go build\n"
	tests := []struct {
		name, text string
		change     func(*assist.Options)
		want       string
	}{
		{"newer go.mod", "FROM golang:auto\n" + build, func(o *assist.Options) { o.Context = context }, "not: go.mod asks for go1.27.1"},
		{"newer go.mod, but local", "FROM golang:1.26\n" + build, func(o *assist.Options) { o.Context = context }, "go\n"},
		{"older go.mod", "FROM golang:auto\n" + build, func(o *assist.Options) { o.Context = older }, "go\n"},
		{"unknown go.mod", "FROM golang:auto\n" + build, nil, "go (the go.mod cannot be read"},
		{"fixed toolchain", "FROM golang:1.26\nENV GOTOOLCHAIN=go1.25.1\n" + build, nil, "not: GOTOOLCHAIN is go1.25.1"},
		{"own toolchain", "FROM golang:1.26\nENV GOTOOLCHAIN=go1.26.8\n" + build, nil, "go\n"},
		{"directory with Go in it", "FROM golang:1.26\nCOPY rootfs /\n" + build, func(o *assist.Options) { o.Context = context }, "not: line 2 may put something"},
		{"directory without", "FROM golang:1.26\nCOPY etc /\n" + build, func(o *assist.Options) { o.Context = context }, "go\n"},
		{"file", "FROM golang:1.26\nCOPY go.mod /\n" + build, func(o *assist.Options) { o.Context = context }, "go\n"},
		{"off", "FROM golang:1.26\n" + build, func(o *assist.Options) { o.Recipes = []assist.Recipe{} }, "not: no recipe knows golang:1.26"},
		{"no kernel handler", "FROM golang:1.26\n" + build, func(o *assist.Options) {
			o.Kernel = []ocispec.Platform{{OS: "linux", Architecture: "amd64"}}
		}, "not: the builder's kernel has no handler for linux/arm64"},
		{"kernel handler", "FROM golang:1.26\n" + build, func(o *assist.Options) {
			o.Kernel = []ocispec.Platform{{OS: "linux", Architecture: "arm64"}}
		}, "go\n"},
		{"nothing reads layers", "FROM golang:1.26\n" + build, func(o *assist.Options) { o.Content = nil }, "not: the images have not been compared yet"},
		{"image replaced", "FROM mine\n" + build, func(o *assist.Options) {
			o.NamedContexts = map[string]string{"mine": "docker-image://golang:1.26"}
		}, "go\n"},
		{"stage replaced", "FROM golang:1.26 AS a\n" + build + "FROM a\nRUN go vet\n", func(o *assist.Options) {
			o.NamedContexts = map[string]string{"a": "docker-image://golang:1.26"}
		}, "not: stage a is not built from an image"},
	}
	w := usual(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, result := planOf(t, w, test.text, "linux/arm64", test.change)
			_, got, _ := strings.Cut(decisions(result), ": ")
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
