package show_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/history"
	"github.com/mabuild/mabuild/planner/pin"
	"github.com/mabuild/mabuild/planner/show"
)

const (
	three = "linux/amd64,linux/arm64,linux/arm/v7"
	eight = "linux/amd64,linux/arm64,linux/arm/v7,linux/386,linux/ppc64le,linux/riscv64,linux/s390x,linux/mips64le"
)

const webService = `FROM --platform=$BUILDPLATFORM node:22 AS assets
WORKDIR /web
COPY web .
RUN npm ci
RUN npm run build

FROM golang:1.26 AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.cache/go-build \
    --mount=type=bind,from=busybox,source=/bin,target=/tools \
    CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/app ./cmd/app && \
    go vet ./...

FROM build AS test
RUN go test ./...

FROM debian:bookworm AS rootfs
RUN apt-get update && apt-get install -y ca-certificates

FROM rootfs AS final
COPY --from=build /out/app /usr/bin/app
COPY --from=build /out/LICENSES /usr/share/doc/app
COPY --from=assets /web/dist /srv
CMD ["app"]
`

// earlyArg has an ARG before commands that do not use it.
const earlyArg = `FROM alpine:3.22 AS base-amd64
FROM alpine:3.22 AS base-arm64

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETARCH
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN <<EOT
set -e
GOARCH=$TARGETARCH go build -o /out/app .
EOT

FROM base-$TARGETARCH AS final
COPY --from=build /out/app /app
FROM final
`

const selecting = `FROM alpine:3.22 AS base-amd64
RUN apk add intel-tools
FROM debian:12 AS base-arm64
RUN apt-get install arm-tools
FROM base-${TARGETARCH} AS final
ARG TARGETARCH
RUN --mount=type=cache,id=deps-$TARGETARCH,target=/deps make
`

const longNames = `FROM registry.example.com:5000/platform-team/build-images/golang-with-everything:1.26.3-bookworm-20261101 AS build-the-whole-thing-with-all-options
RUN make all
FROM registry.example.com:5000/platform-team/runtime/debian@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef AS run
COPY --from=build-the-whole-thing-with-all-options /out /out
COPY --from=registry.example.com:5000/platform-team/tools/certificates:2026.11 /etc/ssl /etc/ssl
`

// diamond has twelve stages that come together again, and findings.
const diamond = `FROM --platform=$BUILDPLATFORM golang:1.26 AS deps
ARG TARGETARCH
RUN go mod download
FROM deps AS api
RUN GOARCH=$TARGETARCH go build ./api
FROM deps AS worker
RUN GOARCH=$TARGETARCH go build ./worker
FROM deps AS cli
RUN GOARCH=$TARGETARCH go build ./cli
FROM --platform=$BUILDPLATFORM node:22 AS npm
RUN npm ci
FROM npm AS admin
RUN npm run build:admin
FROM npm AS shop
RUN npm run build:shop
FROM debian:bookworm AS native
RUN apt-get update && apt-get install -y gcc
FROM native AS codec
RUN make codec
FROM amdonly:3 AS fonts
RUN fc-cache
FROM scratch AS bundle
COPY --from=api /api /api
COPY --from=worker /worker /worker
COPY --from=cli /cli /cli
COPY --from=admin /dist /admin
COPY --from=shop /dist /shop
FROM debian:bookworm-slim
RUN --mount=type=bind,from=codec,source=/out,target=/codec cp -a /codec /usr/lib/codec
COPY --from=bundle / /srv
COPY --from=fonts /usr/share/fonts /usr/share/fonts
COPY --from=tools:2 /bin/healthcheck /bin/healthcheck
`

// many makes a chain of services and what they share.
func many(stages int) string {
	var b strings.Builder
	b.WriteString("FROM --platform=$BUILDPLATFORM golang:1.26 AS base\nRUN go mod download\n")
	b.WriteString("FROM debian:bookworm AS runtime\nRUN apt-get update\n")
	for i := range stages - 3 {
		switch i % 4 {
		case 0, 1:
			fmt.Fprintf(&b, "FROM base AS build-%02d\nRUN go build ./service%02d\n", i, i)
		case 2:
			fmt.Fprintf(&b, "FROM runtime AS rootfs-%02d\nRUN install-service %02d\nCOPY --from=build-%02d /out /srv\nCOPY --from=build-%02d /out /srv\n", i, i, i-1, i-2)
		case 3:
			fmt.Fprintf(&b, "FROM --platform=$BUILDPLATFORM alpine:3.22 AS docs-%02d\nCOPY docs /docs\nRUN make docs\n", i)
		}
	}
	b.WriteString("FROM scratch AS release\n")
	for i := range stages - 3 {
		if i%4 > 1 {
			name := map[int]string{2: "rootfs", 3: "docs"}[i%4]
			fmt.Fprintf(&b, "COPY --from=%s-%02d / /all/%02d\n", name, i, i)
		}
	}
	return b.String()
}

// assistable has stages whose commands are assisted all, in part and not at all,
// and stages that could move to the build platform.
const assistable = `FROM node:22 AS assets
RUN npm ci
RUN npm run build
FROM golang:1.26 AS build
WORKDIR /src
RUN CGO_ENABLED=0 go build -o /out/app ./cmd/app
RUN CGO_ENABLED=0 go build -o /out/cli ./cmd/cli
FROM golang:1.26 AS tools
RUN apt-get update && apt-get install -y protobuf-compiler
RUN make tools
RUN go tool dist list
FROM docs:1 AS docs
RUN mkdocs build
FROM maven:3 AS java
RUN mvn package
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y ca-certificates
RUN useradd app
COPY --from=build /out/app /usr/bin/app
COPY --from=tools /out /usr/share/tools
COPY --from=assets /web/dist /srv
COPY --from=docs /site /srv/docs
COPY --from=java /target/app.jar /app.jar
`

// forecast knows every command of a plan but those of one line.
func forecast(plan *exact.Result, unknown int) *history.Forecast {
	f := &history.Forecast{
		Builds: 6, Total: 250 * time.Second, Spread: 40 * time.Second, Slowest: "linux/arm/v7",
		Platforms: map[string]history.Estimate{}, Steps: map[digest.Digest]history.Estimate{},
	}
	for i, platform := range plan.Platforms {
		f.Platforms[platform] = history.Estimate{Duration: time.Duration(17*(1+13*i)) * time.Second / 2, From: history.FromExact}
	}
	for _, s := range plan.Steps {
		switch {
		case s.State == "":
		case s.Line == unknown:
			f.Unknown++
		default:
			d := time.Duration(s.Line) * 900 * time.Millisecond
			if s.State == exact.StateEmulated {
				d *= 12
			}
			f.Known++
			f.Steps[s.ID] = history.Estimate{Duration: d, Spread: d / 10, From: history.FromStep}
			if s.Line == 10 && s.ExecPlatform == f.Slowest {
				f.Dominant = history.Dominant{Step: s.ID, Stage: s.Stage, Line: s.Line, Share: 0.81}
			}
		}
	}
	return f
}

// case of a screen or a picture.
type input struct {
	dockerfile, platforms string
	images                registry
	options               show.Options
	forecast              bool
	assist                bool
	programs              bool // known to the forecast
}

func inputs() map[string]input {
	lacking := "index golang:1.26 linux/amd64,linux/arm64\nsingle debian:bookworm linux/amd64\nfails node:22\n" + everywhere
	return map[string]input{
		"good":       {dockerfile: webService},
		"ascii":      {dockerfile: webService, options: show.Options{ASCII: true, Width: 80}},
		"lacking":    {dockerfile: webService, images: registry(lacking)},
		"forecast":   {dockerfile: webService, forecast: true},
		"early":      {dockerfile: earlyArg, platforms: "linux/amd64,linux/arm64"},
		"selecting":  {dockerfile: selecting, platforms: "linux/amd64,linux/arm64"},
		"eight":      {dockerfile: webService, platforms: eight, forecast: true},
		"narrow":     {dockerfile: longNames, platforms: eight, options: show.Options{Width: 80}},
		"long":       {dockerfile: longNames, platforms: three},
		"one":        {dockerfile: "FROM alpine:3.22\nRUN apk add curl\n", platforms: "linux/arm64"},
		"diamond":    {dockerfile: diamond, platforms: "linux/amd64,linux/arm64", images: registry("single amdonly:3 linux/amd64\n" + everywhere)},
		"many":       {dockerfile: many(60), platforms: "linux/amd64,linux/arm64,linux/arm/v7,linux/s390x,linux/riscv64"},
		"unhealthy":  {dockerfile: "# syntax=example.com/other:1\nFROM alpine AS Base\nMAINTAINER me\nRUN true\n"},
		"one-native": {dockerfile: "FROM alpine:3.22\nCOPY a /a\n", platforms: "linux/amd64"},

		"assisted":        {dockerfile: assistable, assist: true},
		"assisted-ascii":  {dockerfile: assistable, assist: true, forecast: true, options: show.Options{ASCII: true, Width: 72}},
		"assisted-good":   {dockerfile: webService, assist: true, forecast: true},
		"assisted-native": {dockerfile: assistable, assist: true, platforms: "linux/amd64"},
		"programs":        {dockerfile: assistable, assist: true, forecast: true, programs: true},
		"programs-good":   {dockerfile: webService, forecast: true, programs: true, platforms: "linux/arm64"},
		"programs-ascii":  {dockerfile: assistable, assist: true, forecast: true, programs: true, options: show.Options{ASCII: true, Width: 60}},
		"assisted-many":   {dockerfile: many(60), assist: true, platforms: "linux/amd64,linux/arm64,linux/arm/v7,linux/s390x,linux/riscv64"},
	}
}

// planned is the plan of an input with its options.
func planned(t testing.TB, in input) (*exact.Result, show.Options) {
	t.Helper()
	if in.platforms == "" {
		in.platforms = three
	}
	if in.images == "" {
		in.images = everywhere
	}
	result := plan(t, in.dockerfile, in.platforms, in.images)
	in.options.File = "Dockerfile"
	if in.forecast {
		in.options.Forecast = forecast(result, 5)
	}
	if in.programs {
		in.options.Forecast.Programs = programs(result)
		in.options.Tools = tools
	}
	if in.assist {
		in.options.Assists = assists(result)
		stages, err := pin.Candidates(result, []byte(in.dockerfile))
		if err != nil {
			t.Fatal(err)
		}
		in.options.Pins = stages
	}
	return result, in.options
}
