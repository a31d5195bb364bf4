package contexts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
)

// Options says how contexts are fetched. The zero value is ready.
type Options struct {
	// Git is the git program. Empty means the one on PATH.
	Git string

	// Secret returns a secret of the build, empty if there is none: with GIT_AUTH_TOKEN,
	// GIT_AUTH_HEADER and the two for single hosts, as in GIT_AUTH_TOKEN.github.com,
	// BuildKit reads private repositories. Nil has none.
	Secret func(id string) string

	// Transport sends http requests. Nil means http.DefaultTransport, which knows
	// the proxies of the environment.
	Transport http.RoundTripper

	// MaxSize bounds what is downloaded of an archive or a file, in bytes; unpacked,
	// an archive may have eight times as much. If ≤ 0, 1 GiB is used.
	MaxSize int64

	// TempDir is where a folder for what is fetched is made. Empty means the
	// system's.
	TempDir string

	// Logger gets what is fetched. Nil discards.
	Logger *slog.Logger
}

// Client fetches build contexts, each once, and keeps them until it is closed.
// It may be used concurrently.
type Client struct {
	opts Options

	mu      sync.Mutex
	dir     string // made when it is needed
	closed  bool
	fetches map[source]*fetch
}

// fetch is a source that is being fetched, or has been.
type fetch struct {
	done chan struct{}
	got  fetched
	err  error
}

// fetched is a source that is there.
type fetched interface {
	// readFile returns the first bytes of a file. The files of an archive are in it
	// if unpack is set; otherwise it is the file rawName.
	readFile(ctx context.Context, name string, limit int64, unpack bool) ([]byte, error)
	describe(*Context)
}

// rawName is what BuildKit calls a file that it has downloaded.
const rawName = "context"

var (
	errLoop      = errors.New("too many symbolic links")
	errIrregular = errors.New("not a regular file")
	errSubmodule = errors.New("it is a submodule, which is not fetched for planning")
	errClosed    = errors.New("the client is closed")
)

// New returns a client. Nothing is fetched before it is asked for.
func New(opts Options) *Client {
	if opts.Git == "" {
		opts.Git = "git"
	}
	if opts.Transport == nil {
		opts.Transport = http.DefaultTransport
	}
	if opts.MaxSize <= 0 {
		opts.MaxSize = 1 << 30
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Client{opts: opts, fetches: make(map[source]*fetch)}
}

// Close deletes what was fetched. Contexts cannot be read afterwards.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.dir == "" {
		return nil
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("deleting fetched build contexts: %w", err)
	}
	return nil
}

// Open fetches a context that is a URL for BuildKit. Its errors are of type
// [*Error], except when ctx ends.
func (c *Client) Open(ctx context.Context, url string) (*Context, error) {
	s, err := parse(url)
	if err != nil {
		return nil, err
	}
	got, err := c.fetch(ctx, s)
	if err != nil {
		return nil, err
	}
	opened := &Context{URL: url, source: s, got: got}
	got.describe(opened)
	if pinned, err := parse(opened.Pinned); opened.Pinned != "" && err == nil {
		c.alias(pinned, s)
	}
	return opened, nil
}

// alias makes a source, which is not fetched yet, one with another that is.
func (c *Client) alias(other, s source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, there := c.fetches[s]
	if _, ok := c.fetches[other]; !ok && there {
		c.fetches[other] = f
	}
}

// ReadFile returns the first bytes of a file of a source that BuildKit's frontend
// describes. With unpack it is a file in the archive that the source is. It
// serves the planner.
func (c *Client) ReadFile(ctx context.Context, op *pb.SourceOp, unpack bool, name string, limit int64) ([]byte, error) {
	s, err := parseOp(op)
	if err != nil {
		return nil, err
	}
	got, err := c.fetch(ctx, s)
	if err != nil {
		return nil, err
	}
	text, err := got.readFile(ctx, name, limit, unpack)
	return text, s.wrap(ctx, err)
}

// Metadata returns what BuildKit says of a git or http source.
func (c *Client) Metadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	s, err := parseOp(op)
	if err != nil {
		return nil, err
	}
	if s.url != "" && s.checksum != "" { // known without a download
		return &sourceresolver.MetaResponse{Op: op, HTTP: &sourceresolver.ResolveHTTPResponse{
			Digest: digest.Digest(s.checksum), Filename: op.Attrs[pb.AttrHTTPFilename],
		}}, nil
	}
	got, err := c.fetch(ctx, s)
	if err != nil {
		return nil, err
	}
	switch x := got.(type) {
	case *repository:
		response, err := x.metadata(ctx, opt.GitOpt != nil && opt.GitOpt.ReturnObject)
		if err != nil {
			return nil, s.wrap(ctx, err)
		}
		return &sourceresolver.MetaResponse{Op: op, Git: response}, nil
	case *download:
		return &sourceresolver.MetaResponse{Op: op, HTTP: &sourceresolver.ResolveHTTPResponse{
			Digest: x.digest, Filename: op.Attrs[pb.AttrHTTPFilename], LastModified: x.modified,
		}}, nil
	}
	return nil, fmt.Errorf("describing %s: unknown source", s)
}

// fetch gets a source once, whoever asks for it. Failures are kept as well, unless
// it was the caller who gave up.
func (c *Client) fetch(ctx context.Context, s source) (fetched, error) {
	for {
		f, mine, err := c.claim(s)
		if err != nil {
			return nil, s.wrap(ctx, err)
		}
		if mine {
			started := time.Now()
			f.got, f.err = c.get(ctx, s)
			c.opts.Logger.DebugContext(ctx, "fetched a build context", "url", s.String(), "duration", time.Since(started), "error", f.err)
			if context.Cause(ctx) != nil && f.err != nil {
				c.mu.Lock()
				delete(c.fetches, s)
				c.mu.Unlock()
				f.err = errGaveUp
				close(f.done)
				return nil, context.Cause(ctx)
			}
			close(f.done)
			return f.got, f.err
		}
		select {
		case <-f.done:
			if !errors.Is(f.err, errGaveUp) {
				return f.got, f.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// errGaveUp is for those who waited for somebody who was cancelled.
var errGaveUp = errors.New("gave up")

// claim returns the fetch of a source, and whether it is the caller's to do.
func (c *Client) claim(s source) (f *fetch, mine bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false, errClosed
	}
	if f, ok := c.fetches[s]; ok {
		return f, false, nil
	}
	f = &fetch{done: make(chan struct{})}
	c.fetches[s] = f
	return f, true, nil
}

func (c *Client) get(ctx context.Context, s source) (fetched, error) {
	dir, err := c.folder()
	if err != nil {
		return nil, s.wrap(ctx, err)
	}
	if s.url != "" {
		got, err := c.download(ctx, s, dir)
		if err != nil {
			return nil, s.wrap(ctx, err)
		}
		return got, nil
	}
	got, err := c.clone(ctx, s, dir)
	if err != nil {
		return nil, s.wrap(ctx, err)
	}
	return got, nil
}

// folder makes a folder for one source.
func (c *Client) folder() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return "", errClosed
	}
	if c.dir == "" {
		dir, err := os.MkdirTemp(c.opts.TempDir, "mabuild-context-")
		if err != nil {
			return "", fmt.Errorf("making a folder for the build context: %w; set TMPDIR to one that can be written", err)
		}
		c.dir = dir
	}
	return os.MkdirTemp(c.dir, "")
}

// wrap makes an error one of this package, with the URL.
func (s source) wrap(ctx context.Context, err error) error {
	var known *Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	}
	wrapped := &Error{URL: s.String(), Err: err}
	if hinted := (*hintError)(nil); errors.As(err, &hinted) {
		wrapped.Err, wrapped.Hint = hinted.error, hinted.hint
	} else if errors.Is(err, fs.ErrNotExist) {
		wrapped.Hint = "check the path, and the branch, tag or commit"
	}
	return wrapped
}

// hintError is an error that does not know its URL yet.
type hintError struct {
	error
	hint string
}

func (e *hintError) Unwrap() error { return e.error }
