package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	module   = "github.com/mabuild/mabuild/integration/bench"
	buildx   = "github.com/docker/buildx"
	buildkit = "github.com/moby/buildkit"
)

// Tools are the programs that a measurement needs.
type Tools struct {
	Buildx, Buildctl, Buildkitd string // paths
	Measure, Handlers           string // paths of this module's programs
	BuildxVersion               string
	BuildKitVersion             string
}

// BuildOptions say where from and where to.
type BuildOptions struct {
	// Module is a folder of the bench's module. Empty: the working directory.
	Module string
	// Output is the folder for the programs. Empty: mabuild-bench/bin in the user's
	// cache folder ($XDG_CACHE_HOME).
	Output string
}

// Build builds the programs, in the versions of the module's go.mod. What is up to
// date is left as it is.
func Build(ctx context.Context, opts BuildOptions) (Tools, error) {
	if opts.Output == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return Tools{}, fmt.Errorf("finding the cache folder: %w: set XDG_CACHE_HOME or HOME", err)
		}
		opts.Output = filepath.Join(cache, "mabuild-bench", "bin")
	}
	if err := os.MkdirAll(opts.Output, 0o755); err != nil {
		return Tools{}, fmt.Errorf("making the folder for the programs: %w", err)
	}
	versions, err := moduleVersions(ctx, opts.Module)
	if err != nil {
		return Tools{}, err
	}
	tools := Tools{
		Buildx:          filepath.Join(opts.Output, "buildx"),
		Buildctl:        filepath.Join(opts.Output, "buildctl"),
		Buildkitd:       filepath.Join(opts.Output, "buildkitd"),
		Measure:         filepath.Join(opts.Output, "measure"),
		Handlers:        filepath.Join(opts.Output, "handlers"),
		BuildxVersion:   versions[buildx],
		BuildKitVersion: versions[buildkit],
	}
	// As the projects build their releases: static, without symbols.
	_, err = goTool(ctx, opts.Module, "build", "-trimpath", "-buildvcs=false", "-tags", "netgo,osusergo,static_build,seccomp",
		"-ldflags", fmt.Sprintf("-s -w -X %s/version.Version=%s -X %s/version.Version=%s",
			buildx, tools.BuildxVersion, buildkit, tools.BuildKitVersion),
		"-o", opts.Output+string(filepath.Separator),
		buildx+"/cmd/buildx", buildkit+"/cmd/buildctl", buildkit+"/cmd/buildkitd", module+"/measure", module+"/handlers")
	return tools, err
}

func moduleVersions(ctx context.Context, dir string) (map[string]string, error) {
	list, err := goTool(ctx, dir, "list", "-m", "-f", "{{.Path}} {{.Version}}", buildx, buildkit)
	if err != nil {
		return nil, err
	}
	versions := map[string]string{}
	for line := range strings.Lines(string(list)) {
		path, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		versions[path] = version
	}
	for _, path := range []string{buildx, buildkit} {
		if versions[path] == "" {
			return nil, fmt.Errorf("finding the version of %s: go list doesn't say: run it in the folder integration/bench", path)
		}
	}
	return versions, nil
}

func goTool(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case context.Cause(ctx) != nil:
		return nil, fmt.Errorf("running go %s: %w", args[0], context.Cause(ctx))
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("running go %s: %w: put the Go toolchain on PATH (sudo may have dropped it)", args[0], err)
	case err != nil:
		return nil, fmt.Errorf("running go %s: %w: run it in the folder integration/bench\n%s", args[0], err, Tail(stderr.Bytes(), 20))
	}
	return stdout.Bytes(), nil
}

// Tail returns the last lines of text, without the blank end.
func Tail(text []byte, lines int) string {
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
