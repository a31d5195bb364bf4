package suite

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/mabuild/mabuild/integration/bench/rig"
)

// Names of the clients; they are tags as well.
const (
	mabuild  = "mabuild"
	buildx   = "buildx"
	buildctl = "buildctl"
)

// builder is the name of buildx' builder.
const builder = "bench"

// job is what a client is asked for.
type job struct {
	address   string // of buildkitd
	platforms []string
	context   string   // folder with a Dockerfile
	file      string   // another Dockerfile
	args      []string // build args, NAME=VALUE
	reference string   // the tag to push
}

// rest is what mabuild and buildx spell alike.
func (j job) rest() []string {
	var words []string
	for _, arg := range j.args {
		words = append(words, "--build-arg", arg)
	}
	if j.file != "" {
		words = append(words, "-f", j.file)
	}
	return append(words, j.context)
}

// client is a program that can do a job.
type client struct {
	name    string
	command func(job) []string
}

// clients returns the programs to compare, in the order of the first round.
func clients(binary string, tools rig.Tools) []client {
	return []client{
		{mabuild, func(j job) []string {
			return append([]string{
				binary, "--node", j.address, "--platform", strings.Join(j.platforms, ","),
				"-t", j.reference, "--push", "--progress=quiet",
			}, j.rest()...)
		}},
		{buildx, func(j job) []string {
			return append([]string{
				tools.Buildx, "build", "--builder", builder, "--platform", strings.Join(j.platforms, ","),
				"--provenance=false", "--sbom=false", "-t", j.reference, "--push", "--progress=quiet",
			}, j.rest()...)
		}},
		{buildctl, func(j job) []string {
			return []string{
				tools.Buildctl, "--addr", j.address, "build", "--frontend", "dockerfile.v0",
				"--local", "context=" + j.context, "--local", "dockerfile=" + j.context,
				"--opt", "platform=" + strings.Join(j.platforms, ","),
				"--output", "type=image,name=" + j.reference + ",push=true,oci-mediatypes=true", "--progress=quiet",
			}
		}},
	}
}

// environment is all that the clients see: no settings of the user's, no proxy, no
// credentials, no telemetry.
func environment(dir string) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + filepath.Join(dir, "home"),
		"DOCKER_CONFIG=" + filepath.Join(dir, "docker"),
		"BUILDX_CONFIG=" + filepath.Join(dir, "buildx"),
		"BUILDX_NO_DEFAULT_ATTESTATIONS=1",
		"MABUILD_STATE_DIR=" + filepath.Join(dir, "engine"),
	}
	if tmp := os.Getenv("TMPDIR"); tmp != "" {
		env = append(env, "TMPDIR="+tmp)
	}
	return env
}
