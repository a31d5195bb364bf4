package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Names of what is told of the repository: buildx's label, and BuildKit's attributes
// for provenance.
const (
	dockerfileLabel = "com.docker.image.source.entrypoint"
	vcsSource       = "vcs:source"
	vcsRevision     = "vcs:revision"
	vcsDirectory    = "vcs:localdir:"
)

// gitLabelsDefault is what the environment says, as for buildx.
func gitLabelsDefault() bool {
	value := os.Getenv("BUILDX_GIT_LABELS")
	on, err := strconv.ParseBool(value)
	return err == nil && on || value == "full"
}

// gitInfo is the commit that a directory is of.
type gitInfo struct {
	root     string
	revision string // with -dirty behind it if BUILDX_GIT_CHECK_DIRTY says to look
	remote   string
}

// readGit asks git about a directory. It is empty for a directory in no repository, and
// where there is no git.
func readGit(ctx context.Context, dir string) (*gitInfo, error) {
	git := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0")
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err
	}
	info := &gitInfo{}
	var err error
	if info.root, err = git("rev-parse", "--show-toplevel"); err != nil {
		if _, statErr := os.Stat(filepath.Join(dir, ".git")); statErr != nil {
			return &gitInfo{}, nil
		}
		text := err.Error()
		if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
			text = strings.TrimSpace(string(failed.Stderr))
		}
		return nil, fmt.Errorf("asking git about %s: %s; leave --git-labels away, or see that git works there", dir, text)
	}
	if info.revision, err = git("rev-parse", "HEAD"); err != nil { // no commit yet
		info.revision = ""
	}
	if look, _ := strconv.ParseBool(os.Getenv("BUILDX_GIT_CHECK_DIRTY")); look && info.revision != "" {
		if changes, err := git("status", "--porcelain", "--ignored=no"); err == nil && changes != "" {
			info.revision += "-dirty"
		}
	}
	for _, name := range []string{"upstream", "origin"} { // in buildx's order
		if remote, err := git("remote", "get-url", name); err == nil {
			info.remote = withoutCredentials(remote)
			break
		}
	}
	return info, nil
}

func withoutCredentials(remote string) string {
	if u, err := url.Parse(remote); err == nil && u.User != nil && u.Scheme != "ssh" {
		u.User = nil
		return u.String()
	}
	return remote
}

// labels are those of OCI, and buildx's for the Dockerfile.
func (g *gitInfo) labels(dockerfile string) map[string]string {
	labels := make(map[string]string)
	if g.revision != "" {
		labels[ocispec.AnnotationRevision] = g.revision
	}
	if g.remote != "" {
		labels[ocispec.AnnotationSource] = g.remote
	}
	if path := g.inside(dockerfile); path != "" {
		labels[dockerfileLabel] = path
	}
	return labels
}

// inside is a path relative to the top of the repository, empty if it is elsewhere.
func (g *gitInfo) inside(path string) string {
	path, err := filepath.Abs(path)
	if err != nil || g.root == "" {
		return ""
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	relative, err := filepath.Rel(g.root, path)
	if err != nil || !filepath.IsLocal(relative) {
		return ""
	}
	return filepath.ToSlash(relative)
}

// addGit adds labels, and what provenance says of the source.
func (o *buildOptions) addGit(ctx context.Context) error {
	_, provenance := o.inputs.requests["attest:provenance"]
	if value := os.Getenv("BUILDX_GIT_INFO"); value != "" {
		if on, err := strconv.ParseBool(value); err == nil && !on {
			provenance = false
		}
	}
	if o.remote != nil || !o.inputs.gitLabels && !provenance {
		return nil
	}
	info, err := readGit(ctx, o.context)
	if err != nil {
		return err
	}
	if o.inputs.gitLabels {
		addMissing(o.labels, info.labels(o.dockerfile))
	}
	if provenance && info.revision != "" {
		in := o.inputs.requests
		in[vcsRevision] = info.revision
		if info.remote != "" {
			in[vcsSource] = info.remote
		}
		for local, dir := range map[string]string{"context": o.context, "dockerfile": filepath.Dir(o.dockerfilePath())} {
			if path := info.inside(dir); path != "" {
				in[vcsDirectory+local] = path
			}
		}
	}
	return nil
}
