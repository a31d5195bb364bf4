package report_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/mabuild/mabuild/builder/report"
)

var start = time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)

// digestOf is like one.
func digestOf(n int) string {
	return "sha256:" + strings.Repeat(fmt.Sprintf("%08x", n*2654435761%(1<<32)), 8)
}

// clock builds a build's steps.
type clock struct{ *report.Build }

// step adds one that works from and for seconds after the start.
func (c clock) step(s report.Step, from, seconds float64) string {
	if s.ID == "" {
		s.ID = digestOf(len(c.Steps) + 1)
	}
	if s.Command == "" {
		s.Command = s.Name
	}
	at := func(x float64) time.Time { return start.Add(time.Duration(x * float64(time.Second))) }
	s.Intervals = append(s.Intervals, report.Interval{Started: at(from), Completed: at(from + seconds)})
	c.Steps = append(c.Steps, s)
	if end := at(from + seconds); end.After(c.Completed) {
		c.Completed = end
	}
	return s.ID
}

// small has one platform and one step.
func small() *report.Build {
	b := &report.Build{ID: "SMALL", Started: start, Completed: start, Platforms: []report.Platform{{Name: "linux/amd64", Started: start, Completed: start.Add(420 * time.Millisecond)}}}
	clock{b}.step(report.Step{Name: "RUN echo hello", Kind: "exec", Stage: "stage-0", Line: 2, Platforms: []string{"linux/amd64"}, ExecPlatform: "linux/amd64", State: report.Native, Log: []string{"hello"}}, 0, 0.42)
	return b
}

// service is an ordinary build for three platforms: one native, one emulated, one
// assisted; the last one fails if it is to.
func service(fails bool) *report.Build {
	b := &report.Build{
		ID: "R4KX2M7QJ5TYBQ3ZC6VN8H1WDE", Mabuild: "0.3.0", File: "Dockerfile", Context: ".", Builder: "engine", Started: start, Completed: start,
		Names: []string{"ghcr.io/example/shop-api:1.8.2"}, Digest: digestOf(4711),
	}
	c := clock{b}
	all := []string{"linux/amd64", "linux/arm64", "linux/s390x"}
	load := c.step(report.Step{Name: "[internal] load build definition from Dockerfile", Kind: "internal", Platforms: all}, 0, 0.03)
	source := c.step(report.Step{Name: "[internal] load build context", Kind: "local", Platforms: all, Inputs: []string{load}}, 0.3, 0.9)
	for i, p := range all {
		name := p[len("linux/"):]
		state, factor := report.Native, 1.0
		switch i {
		case 1:
			state, factor = report.Assisted, 1.3
		case 2:
			state, factor = report.Emulated, 8
		}
		one := []string{p}
		base := c.step(report.Step{Name: "FROM docker.io/library/golang:1.26", Kind: "image", Stage: "build", Line: 1, Platforms: one, Inputs: []string{load}, Cached: i == 0}, 0.2, 2.1+float64(i))
		t := 2.4 + float64(i)
		work := c.step(report.Step{Name: "WORKDIR /src", Kind: "file", Stage: "build", Line: 2, Platforms: one, Inputs: []string{base}}, t, 0.05)
		mod := c.step(report.Step{Name: "COPY go.mod go.sum ./", Kind: "file", Stage: "build", Line: 3, Platforms: one, Inputs: []string{work, source}}, t+0.1, 0.1)
		t += 0.2
		get := c.step(report.Step{Name: "RUN go mod download", Kind: "exec", Stage: "build", Line: 4, Platforms: one, ExecPlatform: p, State: state, Inputs: []string{mod}, Log: []string{"go: downloading golang.org/x/sync v0.21.0"}}, t, 4*factor)
		t += 4 * factor
		src := c.step(report.Step{Name: "COPY . .", Kind: "file", Stage: "build", Line: 5, Platforms: one, Inputs: []string{get, source}}, t, 0.3)
		t += 0.4
		compile := report.Step{
			Name: "RUN go build -trimpath -ldflags='-s -w' -o /out/shop-api ./cmd/shop-api", Kind: "exec", Stage: "build", Line: 6, Platforms: one, ExecPlatform: p, State: state, Inputs: []string{src},
			Command: "RUN --mount=type=cache,target=/root/.cache/go-build go build -trimpath -ldflags='-s -w' -o /out/shop-api ./cmd/shop-api",
			Log:     []string{"internal/goarch", "internal/cpu", "runtime", "net/http", "github.com/example/shop/internal/cart", "github.com/example/shop/cmd/shop-api"},
		}
		if i == 1 {
			compile.Note = "assisted by go: the tools of /usr/local/go run natively"
		}
		failing := fails && i == 2
		if failing {
			compile.Error = "process \"/bin/sh -c go build -trimpath -ldflags='-s -w' -o /out/shop-api ./cmd/shop-api\" did not complete successfully: exit code: 139"
			compile.Log = append(compile.Log, "qemu: uncaught target signal 11 (Segmentation fault) - core dumped", "\x1b[31mgo build github.com/example/shop/internal/cart: compile: signal: segmentation fault\x1b[0m", "Segmentation fault (core dumped)")
			compile.LogOmitted = 212
		}
		compiled := c.step(compile, t, 11*factor)
		t += 11 * factor
		certs := c.step(report.Step{Name: "RUN apk add --no-cache ca-certificates tzdata", Kind: "exec", Stage: "runtime", Line: 9, Platforms: one, ExecPlatform: p, State: map[bool]report.State{true: report.Native, false: report.Emulated}[i == 0], Inputs: []string{base}, Log: []string{"(1/2) Installing ca-certificates", "(2/2) Installing tzdata", "OK: 12 MiB in 17 packages"}}, 2.6+float64(i), 1.6*[]float64{1, 6, 9}[i])
		platform := report.Platform{Name: p, Started: start, Completed: start.Add(time.Duration(t * float64(time.Second)))}
		if failing {
			platform.Error = "RUN go build: exit code: 139"
			b.Error = "building linux/s390x: Dockerfile:6: the emulator crashed (qemu-s390x 9.2.0, uncaught target signal 11): exit code: 139\nThis is a fault of QEMU more often than of the program. What helps: --retry-emulated 2 if it comes and goes; a node of linux/s390x with --node."
			b.Digest = ""
			b.Platforms = append(b.Platforms, platform)
			continue
		}
		copied := c.step(report.Step{Name: "COPY --from=build /out/shop-api /usr/bin/shop-api", Kind: "file", Stage: "runtime", Line: 10, Platforms: one, Inputs: []string{certs, compiled}}, t+0.1, 0.2)
		c.step(report.Step{Name: "exporting to image", Kind: "internal", Platforms: one, Inputs: []string{copied}}, t+0.4, 1.7)
		platform.Completed = start.Add(time.Duration((t + 2.2) * float64(time.Second)))
		if !fails {
			platform.Digest = digestOf(900 + i)
		}
		platform.Layers = []report.Layer{
			{Digest: digestOf(100 + i), Size: 3_642_247 + int64(i)*91_000, CreatedBy: "ADD alpine-minirootfs-3.23.0-" + name + ".tar.gz / # buildkit"},
			{Digest: digestOf(110 + i), Size: 1_294_111 + int64(i)*1200, CreatedBy: "RUN /bin/sh -c apk add --no-cache ca-certificates tzdata # buildkit"},
			{Digest: digestOf(120 + i), Size: 8_911_020 - int64(i)*402_233, CreatedBy: "COPY /out/shop-api /usr/bin/shop-api # buildkit"},
		}
		b.Platforms = append(b.Platforms, platform)
	}
	b.Findings = []report.Finding{
		{Rule: "cross-compile", Level: "warning", Line: 6, Stage: "build", Platforms: []string{"linux/s390x"}, Message: "go build runs emulated on linux/s390x, about 8 times slower", Fix: "FROM --platform=$BUILDPLATFORM golang:1.26 and GOARCH=$TARGETARCH"},
		{Rule: "JSONArgsRecommended", Level: "note", Line: 12, Message: "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals", URL: "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/"},
	}
	return b
}

// large has sixty steps on each of eight platforms, and some that they share.
func large() *report.Build {
	names := []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm/v6", "linux/386", "linux/ppc64le", "linux/s390x", "linux/riscv64"}
	b := &report.Build{ID: "LARGE", Mabuild: "0.3.0", File: "docker/Dockerfile.release", Context: ".", Builder: "engine", Started: start, Completed: start, Names: []string{"registry.example.com/platform/toolchain:2026.03", "registry.example.com/platform/toolchain:latest"}, Digest: digestOf(1)}
	c := clock{b}
	var shared string
	for i := range 6 {
		shared = c.step(report.Step{Name: fmt.Sprintf("RUN npm run build --workspace=ui-%d", i), Kind: "exec", Stage: "assets", Line: 3 + i, Platforms: names, ExecPlatform: "linux/amd64", State: report.Native, Inputs: inputs(shared)}, float64(i)*9, 8.5)
	}
	stages := []string{"deps", "toolchain", "build", "test", "package", "runtime"}
	for p, platform := range names {
		t := 1.0
		var before string
		layers := []report.Layer{{Digest: digestOf(5000 + p), Size: 29_000_000 + int64(p)*700_000, CreatedBy: "debian.sh --arch '" + platform + "' out/ 'trixie' '@1772409600'"}}
		for n := range 54 {
			stage := stages[n*len(stages)/54]
			s := report.Step{Name: fmt.Sprintf("RUN ./configure --prefix=/opt/part%02d && make -j$(nproc) && make install", n), Kind: "exec", Stage: stage, Line: 12 + n*2, Platforms: []string{platform}, ExecPlatform: platform, State: report.Emulated, Inputs: inputs(before)}
			took := 1 + float64((n*7919+p*31)%23)
			switch {
			case p == 0 || p == 4:
				s.State = report.Native
				took /= 6
			case n%5 == 1:
				s.State = report.Assisted
				took /= 4
			}
			switch {
			case n%9 == 0:
				s.Name, s.Kind, s.State, s.ExecPlatform = fmt.Sprintf("COPY --from=assets /out/%d /srv/www/", n), "file", "", ""
				s.Inputs = append(s.Inputs, shared)
				took = 0.4
			case n%11 == 3:
				s.Cached, took = true, 0
			}
			for k := range 6 {
				s.Log = append(s.Log, fmt.Sprintf("  CC      src/part%02d/module_%d.o", n, k))
			}
			if n == 27 { // beside the others
				before = c.step(s, t-3, took)
			} else {
				before = c.step(s, max(t, float64(n)), took)
				t = max(t, float64(n)) + took + 0.05
			}
			if n >= 45 {
				layers = append(layers, report.Layer{Digest: digestOf(6000 + p*60 + n), Size: 900_000 * int64(1+n%7), CreatedBy: "RUN |1 TARGETARCH=x /bin/sh -c make install-part" + fmt.Sprint(n) + " # buildkit"})
			}
		}
		b.Platforms = append(b.Platforms, report.Platform{Name: platform, Digest: digestOf(700 + p), Layers: layers, Started: start, Completed: start.Add(time.Duration(t * float64(time.Second)))})
	}
	return b
}

func inputs(ids ...string) []string {
	var list []string
	for _, id := range ids {
		if id != "" {
			list = append(list, id)
		}
	}
	return list
}
