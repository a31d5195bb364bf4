package exact

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/frontend/dockerui"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// Remote reads what git and http servers have. Package contexts has one.
type Remote interface {
	// ReadFile returns the first bytes of a file of a source, limit at most. With
	// unpack, it is a file in the archive that the source is; otherwise an http source
	// is one file, named by its attribute http.filename.
	ReadFile(ctx context.Context, source *pb.SourceOp, unpack bool, name string, limit int64) ([]byte, error)

	// Metadata says what a source is right now.
	Metadata(ctx context.Context, source *pb.SourceOp, opt sourceresolver.Opt) (*sourceresolver.MetaResponse, error)
}

// remoteContext reports whether the context is a URL. As in buildx, a directory of
// that name goes first.
func (o Options) remoteContext() bool {
	if !isRemote(o.Context) {
		return false
	}
	info, err := os.Stat(o.Context)
	return err != nil || !info.IsDir()
}

func isRemote(value string) bool {
	_, git, _ := dfgitutil.ParseGitRef(value)
	return git || isHTTP(value)
}

func isHTTP(value string) bool {
	return strings.HasPrefix(value, "https://") || strings.HasPrefix(value, "http://")
}

// checkRemote finds mistakes in a context that is a URL.
func (o Options) checkRemote() error {
	if o.Remote == nil {
		return fmt.Errorf("planning with the build context %s: nothing can read it; set Options.Remote", redacted(o.Context))
	}
	if name := o.inContext(); o.DockerfileDir == "" && (name == ".." || strings.HasPrefix(name, "../")) {
		return fmt.Errorf("planning with the build context %s: the Dockerfile %s is outside of it; give a path inside it", redacted(o.Context), o.Filename)
	}
	return nil
}

// inContext is the path of the Dockerfile in a context that is a URL.
func (o Options) inContext() string {
	return strings.TrimPrefix(path.Clean(filepath.ToSlash(o.Filename)), "/")
}

// readDockerfile gets the Dockerfile out of a context that is a URL.
func (o Options) readDockerfile(ctx context.Context) ([]byte, error) {
	g := &gateway{
		options: map[string]string{"context": o.Context, "filename": o.inContext()},
		session: o.SessionID, build: o.BuildPlatform, remote: o.Remote,
	}
	client, err := dockerui.NewClient(g)
	if err != nil {
		return nil, fmt.Errorf("reading the build options: %w", err)
	}
	source, err := client.ReadEntrypoint(ctx, "Dockerfile")
	if err != nil {
		if context.Cause(ctx) != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("reading %s in %s: %w", o.Filename, redacted(o.Context), err)
	}
	return source.Data, nil
}

// remoteValue checks a named context that is a URL. BuildKit takes fewer forms here
// than for the main context.
func remoteValue(name, value string) error {
	if !isHTTP(value) && !strings.HasPrefix(value, "git://") && !strings.HasPrefix(value, "git@") {
		return fmt.Errorf("planning with the build context %s=%s: BuildKit takes only https://, http://, git:// and git@ for named contexts; write it so", name, redacted(value))
	}
	if _, git, err := dfgitutil.ParseGitRef(value); git && err != nil {
		return fmt.Errorf("planning with the build context %s=%s: %w; write URL#REF:SUBDIR", name, redacted(value), err)
	}
	return nil
}

var credentials = regexp.MustCompile(`://[^/\s'"<>]*@`)

// redacted drops what must not be shown of a URL: credentials, and the query, where
// signed URLs have them.
func redacted(text string) string {
	text = credentials.ReplaceAllString(text, "://xxxxx@")
	words := strings.Split(text, " ")
	for i, word := range words {
		if url, _, found := strings.Cut(word, "?"); found && strings.Contains(url, "://") {
			words[i] = url + "?…"
		}
	}
	return strings.Join(words, " ")
}

// solveRemote gives access to a source of a server.
func (g *gateway) solveRemote(source *pb.SourceOp, unpack bool) (*remote, error) {
	if g.remote == nil {
		return nil, fmt.Errorf("reading %s needs a builder", redacted(source.Identifier))
	}
	ref := &remote{Remote: g.remote, source: source, unpack: unpack}
	if g.dockerfile.text != nil && (unpack || !isHTTP(source.Identifier)) {
		ref.extra = g.dockerfile
	}
	return ref, nil
}

// remote is a source of a server.
type remote struct {
	Remote
	source *pb.SourceOp
	unpack bool
	extra  file // hides what the server has
}

var _ gwclient.Reference = (*remote)(nil)

func (r *remote) ToState() (llb.State, error)    { return llb.Scratch(), nil }
func (r *remote) Evaluate(context.Context) error { return nil }

func (r *remote) ReadFile(ctx context.Context, req gwclient.ReadRequest) ([]byte, error) {
	offset, limit := 0, maxDocument*2+1
	if req.Range != nil {
		offset = req.Range.Offset
		if req.Range.Length > 0 {
			limit = req.Range.Length
		}
	}
	text := r.extra.text
	if name := strings.TrimPrefix(path.Clean("/"+req.Filename), "/"); r.extra.name == "" || name != r.extra.name {
		var err error
		if text, err = r.Remote.ReadFile(ctx, r.source, r.unpack, req.Filename, int64(offset+limit)); err != nil {
			return nil, err
		}
	}
	text = text[min(offset, len(text)):]
	return text[:min(limit, len(text))], nil
}

// StatFile is not needed: who reads a file asks for no more than is allowed.
func (r *remote) StatFile(context.Context, gwclient.StatRequest) (*fstypes.Stat, error) {
	return nil, errors.New("the size of a file needs a builder")
}

func (r *remote) ReadDir(context.Context, gwclient.ReadDirRequest) ([]*fstypes.Stat, error) {
	return nil, errors.New("listing a directory needs a builder")
}
