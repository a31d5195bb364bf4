package pin

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

// Patch returns the Dockerfile as its author would pin stages: the FROM line, and
// for Go an ARG and an ENV line before the first go build, so that what comes
// before, such as go mod download, still runs once for all platforms. It needs
// mabuild no more. Patching twice is patching once.
//
// The platforms say which variants matter; GOARM is always set.
func Patch(text []byte, pins []Pin, list []ocispec.Platform) ([]byte, error) {
	f, err := parseFile(text)
	if err != nil {
		return nil, err
	}
	inserts := make(map[int][]string) // lines to put before a line
	for _, pin := range pins {
		i, err := f.stage(pin)
		if err != nil {
			return nil, err
		}
		builds := goBuilds(f.stages[i])
		if pin.Mode == Go && len(builds) == 0 {
			return nil, fmt.Errorf("pinning stage %s: no RUN of it calls go build by itself; use %s:plain if it makes the same for all platforms", pin.Stage, pin.Stage)
		}
		already := pinned(f.stages[i])
		if err := f.pinFrom(i); err != nil {
			return nil, err
		}
		if pin.Mode == Plain || len(builds) == 0 || already && setsArch(f.stages[i]) {
			continue
		}
		if setsArch(f.stages[i]) {
			return nil, fmt.Errorf("pinning stage %s: it sets GOARCH already; add %s to its FROM by hand", pin.Stage, buildPlatform)
		}
		inserts[planner.FirstLine(builds[0].Location())] = goLines(list)
	}
	var out bytes.Buffer
	for i, line := range f.lines {
		for _, added := range inserts[i+1] {
			out.WriteString(added + f.newline())
		}
		out.Write(line)
	}
	if _, err := parseFile(out.Bytes()); err != nil {
		return nil, fmt.Errorf("pinning: %w", err)
	}
	return out.Bytes(), nil
}

// setsArch reports whether a stage has an environment for cross builds.
func setsArch(s instructions.Stage) bool {
	for _, command := range s.Commands {
		env, ok := command.(*instructions.EnvCommand)
		if !ok {
			continue
		}
		for _, pair := range env.Env {
			if pair.Key == "GOARCH" {
				return true
			}
		}
	}
	return false
}

// goLines are the instructions of a Go cross build.
func goLines(list []ocispec.Platform) []string {
	env := "ENV CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v}"
	for _, p := range list {
		if p = platforms.Normalize(p); p.Architecture == "amd64" && strings.HasPrefix(p.Variant, "v") {
			return []string{"ARG TARGETOS TARGETARCH TARGETVARIANT", env + " GOAMD64=$TARGETVARIANT"}
		}
	}
	return []string{"ARG TARGETOS TARGETARCH TARGETVARIANT", env}
}
