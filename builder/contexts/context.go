package contexts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	digest "github.com/opencontainers/go-digest"
)

// Kind is what a URL turned out to be.
type Kind string

// The kinds of contexts that are no directories.
const (
	Git     Kind = "git"
	Archive Kind = "archive" // tar, plain or compressed
	File    Kind = "file"    // a Dockerfile alone
)

// Context is a build context that has been fetched. What is said of git is empty
// for the others, and the other way round.
type Context struct {
	URL  string // as it was given
	Kind Kind

	// Commit is what the reference was when the context was opened, a tag followed
	// to its commit.
	Commit string
	// Ref is the whole name of the branch or tag, such as refs/heads/main, or the
	// commit if the URL has one.
	Ref string
	// Pinned is the URL of that very commit, with credentials if URL has them. Given
	// to every platform's build, all of them get the same files.
	Pinned string

	Digest digest.Digest // of what was downloaded

	source source
	got    fetched
}

// maxDockerfile is how large a Dockerfile may be, as in BuildKit.
const maxDockerfile = 16 << 20

// ReadFile returns a file of the context, whose symbolic links are followed inside
// the context. Its errors are of type [*Error], except when ctx ends; they wrap
// [fs.ErrNotExist] if there is no such file.
func (c *Context) ReadFile(ctx context.Context, name string) ([]byte, error) {
	text, err := c.got.readFile(ctx, name, maxDockerfile+1, c.Kind == Archive)
	if err == nil && len(text) > maxDockerfile {
		err = &hintError{fmt.Errorf("%s is larger than %d MiB", name, maxDockerfile>>20), "BuildKit reads no larger one, either; check that it is a Dockerfile"}
	}
	if err != nil {
		return nil, c.source.wrap(ctx, err)
	}
	return text, nil
}

// Dockerfile returns the Dockerfile of a path in the context as BuildKit finds it,
// and its path: Dockerfile may be written in small letters, and a context of kind
// [File] is one itself, whatever its name. An empty path means Dockerfile.
func (c *Context) Dockerfile(ctx context.Context, name string) (text []byte, found string, err error) {
	if c.Kind == File {
		if name != "" {
			return nil, "", c.source.wrap(ctx, &hintError{fmt.Errorf("it is one file, so there is no %s in it", name), "leave -f away"})
		}
		text, err = c.ReadFile(ctx, rawName)
		if err == nil {
			err = c.source.wrap(ctx, dockerfileLike(text))
		}
		return text, path.Base(c.source.String()), err
	}
	if name == "" {
		name = "Dockerfile"
	}
	if clean := path.Clean(name); clean == ".." || strings.HasPrefix(clean, "../") {
		return nil, "", c.source.wrap(ctx, &hintError{fmt.Errorf("the Dockerfile %s is outside of it", name), "give a path inside the context, or an absolute one for a file of this machine"})
	}
	name = path.Clean("/" + name)[1:]
	text, err = c.ReadFile(ctx, name)
	if small := path.Join(path.Dir(name), "dockerfile"); errors.Is(err, fs.ErrNotExist) && path.Base(name) == "Dockerfile" {
		if text, smallErr := c.ReadFile(ctx, small); smallErr == nil {
			return text, small, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = c.missing(ctx, name)
	}
	return text, name, err
}

// missing says where a Dockerfile might be instead.
func (c *Context) missing(ctx context.Context, name string) error {
	missing := fmt.Errorf("there is no %s in it: %w", name, fs.ErrNotExist)
	if c.Commit != "" {
		missing = fmt.Errorf("there is no %s in commit %.12s: %w", path.Join(c.source.subdir, name), c.Commit, fs.ErrNotExist)
	}
	hint := "give the path of the Dockerfile with -f"
	if lister, ok := c.got.(interface {
		dockerfiles(ctx context.Context) []string
	}); ok {
		if found := lister.dockerfiles(ctx); len(found) > 0 {
			hint = "it has " + strings.Join(found, ", ") + "; give the path with -f"
		}
	}
	return c.source.wrap(ctx, &hintError{missing, hint})
}

// maxCandidates is how many Dockerfiles are named in a hint.
const maxCandidates = 3

// isDockerfile reports whether a file is likely to be one, by its name.
func isDockerfile(name string) bool {
	base := strings.ToLower(path.Base(name))
	return (strings.HasPrefix(base, "dockerfile") || strings.HasSuffix(base, ".dockerfile") || base == "containerfile") &&
		!strings.HasSuffix(base, "ignore")
}

// dockerfileLike refuses what servers send in place of a file that is not there, or
// is something else; BuildKit would complain of unknown instructions.
func dockerfileLike(text []byte) error {
	start := bytes.ToLower(bytes.TrimSpace(text[:min(len(text), 512)]))
	switch {
	case bytes.HasPrefix(start, []byte("<!doctype")), bytes.HasPrefix(start, []byte("<html")):
		return &hintError{errors.New("it is a web page, neither an archive nor a Dockerfile"), "the URL of a git repository ends in .git; for a file on a code host take its raw URL"}
	case bytes.IndexByte(text, 0) >= 0:
		return &hintError{errors.New("it is neither a tar archive nor a Dockerfile"), "archives may be plain tar, or compressed by gzip, bzip2, xz or zstd"}
	case len(start) == 0:
		return &hintError{errors.New("it is empty"), "check the URL"}
	}
	return nil
}
