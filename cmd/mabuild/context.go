package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/contexts"
	"github.com/mabuild/mabuild/planner/exact"
)

// defaultDockerfile is the name of a Dockerfile that has no other.
const defaultDockerfile = "Dockerfile"

// maxDockerfile is how large a Dockerfile may be, as in BuildKit.
const maxDockerfile = 16 << 20

// isRemote reports whether a build context is a URL. A directory of that name goes
// first, since BuildKit takes github.com/OWNER/NAME for one.
func isRemote(buildContext string) bool {
	if info, err := os.Stat(buildContext); err == nil && info.IsDir() {
		return false
	}
	return contexts.IsRemote(buildContext)
}

func isHTTP(name string) bool {
	return strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
}

// remoteContext is a build context that is a URL and has been fetched, or an archive
// from standard input.
type remoteContext struct {
	client *contexts.Client
	opened *contexts.Context
	spool  *spool // of standard input, nil if it is a URL

	// localFile is set if the Dockerfile is not in it but on this machine.
	localFile bool
}

// url is the same context for all platforms and for the plan: a commit, if it is git.
func (r *remoteContext) url() string {
	if r.opened.Pinned != "" {
		return r.opened.Pinned
	}
	return r.opened.URL
}

func (o *buildOptions) newContextClient() *contexts.Client {
	return contexts.New(contexts.Options{Logger: logger(), Secret: o.inputs.secret})
}

// checkContext completes the places of the build context and the Dockerfile.
func (o *buildOptions) checkContext() error {
	if o.context == stdin {
		if o.dockerfile == stdin {
			return usagef("standard input cannot be both the build context and the Dockerfile; give one of them as a path")
		}
		return nil
	}
	if isRemote(o.context) {
		return nil
	}
	if strings.Contains(o.context, "://") {
		return usagef("the build context %q is not a directory, nor the URL of a git repository or an archive", contexts.Redact(o.context))
	}
	if o.dockerfile == "" {
		o.dockerfile = filepath.Join(o.context, defaultDockerfile)
		small := filepath.Join(o.context, strings.ToLower(defaultDockerfile))
		if _, err := os.Stat(o.dockerfile); errors.Is(err, os.ErrNotExist) {
			if _, err := os.Stat(small); err == nil {
				o.dockerfile = small
			}
		}
	}
	return nil
}

// checkDirectory says what is wrong with a build context on this machine.
func (o *buildOptions) checkDirectory() error {
	if info, err := os.Stat(o.context); err != nil {
		return usagef("the build context %q cannot be read: %w", o.context, errors.Unwrap(err))
	} else if !info.IsDir() {
		return usagef("the build context %q is not a directory; give the directory and the Dockerfile with -f", o.context)
	}
	return nil
}

// load returns the Dockerfile. What it fetches for that, done deletes: one commit for
// whatever is planned or built until then.
func (o *buildOptions) load(ctx context.Context, offline bool) (text []byte, done func(), err error) {
	simple := o.context != stdin && o.dockerfile != stdin && !isHTTP(o.dockerfile)
	if simple && !isRemote(o.context) {
		text, err = o.read()
		return text, func() {}, err
	}
	if offline && (isRemote(o.context) || isHTTP(o.dockerfile)) {
		return nil, nil, usagef("--offline cannot read the build context %s; clone or unpack it and give the directory", contexts.Redact(o.context))
	}
	dir, err := os.MkdirTemp("", "mabuild-input-")
	if err != nil {
		return nil, nil, fmt.Errorf("making a folder for the build's input: %w; set TMPDIR to one that can be written", err)
	}
	done = func() {
		err := os.RemoveAll(dir)
		if o.remote != nil {
			err = errors.Join(err, o.remote.client.Close())
		}
		if err != nil {
			logger().WarnContext(ctx, "the fetched build context is left behind", "error", err)
		}
	}
	if text, err = o.loadFrom(ctx, dir); err != nil {
		done()
		return nil, nil, err
	}
	return text, done, nil
}

// loadFrom reads what is not on this machine yet, or comes through standard input, into
// dir.
func (o *buildOptions) loadFrom(ctx context.Context, dir string) ([]byte, error) {
	if o.context == stdin {
		if text, err := o.loadStdin(dir); err != nil || text != nil {
			return text, err
		}
	}
	if o.remote == nil && isRemote(o.context) {
		o.remote = &remoteContext{client: o.newContextClient()}
	}
	switch {
	case o.dockerfile == stdin:
		text, err := readLimited(os.Stdin)
		if err != nil {
			return nil, err
		}
		return text, o.keepDockerfile(ctx, dir, text)
	case isHTTP(o.dockerfile):
		text, err := o.fetchDockerfile(ctx, o.dockerfile)
		if err != nil {
			return nil, err
		}
		return text, o.keepDockerfile(ctx, dir, text)
	case o.remote == nil:
		return o.read()
	}
	return o.loadRemote(ctx)
}

// loadStdin reads standard input as a build context: an archive, or a Dockerfile that
// is built without one. The text is nil for an archive.
func (o *buildOptions) loadStdin(dir string) ([]byte, error) {
	input := bufio.NewReaderSize(os.Stdin, archiveHeader)
	archive, empty, err := peekArchive(input)
	switch {
	case err != nil:
		return nil, err
	case empty:
		return nil, usagef("standard input is empty; the build context - is a tar archive or a Dockerfile")
	case archive:
		spool, err := keep(input, dir)
		if err != nil {
			return nil, err
		}
		o.remote = &remoteContext{spool: spool, client: contexts.New(contexts.Options{Transport: spool, MaxSize: 1 << 50, TempDir: dir, Logger: logger()})}
		o.context = spool.url
		return nil, nil
	case o.dockerfile != "":
		return nil, usagef("standard input is a Dockerfile, and so is -f %s; leave one of them away", o.dockerfile)
	}
	text, err := readLimited(input)
	if err != nil {
		return nil, err
	}
	o.context = filepath.Join(dir, "empty")
	if err := os.Mkdir(o.context, 0o700); err != nil {
		return nil, err
	}
	o.at, err = writeDockerfile(dir, text)
	o.dockerfile = defaultDockerfile
	return text, err
}

func readLimited(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxDockerfile+1))
	if err == nil && len(text) > maxDockerfile {
		err = fmt.Errorf("it is larger than %d MiB", maxDockerfile>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the Dockerfile from standard input: %w", err)
	}
	return text, nil
}

// fetchDockerfile reads a Dockerfile that is a URL.
func (o *buildOptions) fetchDockerfile(ctx context.Context, url string) ([]byte, error) {
	client := o.newContextClient()
	defer client.Close()
	opened, err := client.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	text, _, err := opened.Dockerfile(ctx, "")
	return text, err
}

// keepDockerfile makes a Dockerfile that is in no directory one of this machine.
func (o *buildOptions) keepDockerfile(ctx context.Context, dir string, text []byte) (err error) {
	o.dockerfile = defaultDockerfile
	if o.at, err = writeDockerfile(dir, text); err != nil {
		return err
	}
	if o.remote == nil {
		return o.checkDirectory()
	}
	o.remote.localFile = true
	o.remote.opened, err = o.remote.client.Open(ctx, o.context)
	return err
}

func (o *buildOptions) loadRemote(ctx context.Context) (text []byte, err error) {
	if o.remote.opened, err = o.remote.client.Open(ctx, o.context); err != nil {
		return nil, err
	}
	if filepath.IsAbs(o.dockerfile) { // as in buildx
		o.remote.localFile = true
		return o.readDockerfile()
	}
	text, o.dockerfile, err = o.remote.opened.Dockerfile(ctx, filepath.ToSlash(o.dockerfile))
	return text, err
}

// dockerfilePath is where the Dockerfile is, which can be elsewhere than it says.
func (o *buildOptions) dockerfilePath() string {
	if o.at != "" {
		return o.at
	}
	return o.dockerfile
}

// addContext says where the build context and the Dockerfile are.
func (o *buildOptions) addContext(options *exact.Options) {
	options.Context, options.Filename = o.context, o.dockerfile
	if o.remote != nil && o.history != nil { // something is built
		options.Context = o.remote.url()
	}
	if o.remote == nil || o.remote.localFile {
		options.DockerfileDir = filepath.Dir(o.dockerfilePath())
	}
}

// source is what a node's jobs are offered.
func (o *buildOptions) source() buildkit.SourceOptions {
	source := buildkit.SourceOptions{Context: o.context, Dockerfile: o.dockerfilePath(), NamedContexts: o.contexts}
	if o.remote == nil {
		return source
	}
	source.Context, source.URL, source.InContext = "", o.remote.url(), !o.remote.localFile
	if o.remote.spool != nil {
		source.Archive = o.remote.spool.Open
	}
	return source
}
