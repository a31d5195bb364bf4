package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/mabuild/mabuild/builder/contexts"
	"github.com/mabuild/mabuild/planner/exact"
)

// isRemote reports whether a build context is a URL. A directory of that name goes
// first, since BuildKit takes github.com/OWNER/NAME for one.
func isRemote(buildContext string) bool {
	if info, err := os.Stat(buildContext); err == nil && info.IsDir() {
		return false
	}
	return contexts.IsRemote(buildContext)
}

// remoteContext is a build context that is a URL and has been fetched.
type remoteContext struct {
	client *contexts.Client
	opened *contexts.Context

	// localFile is set if the Dockerfile is not in it but on this machine.
	localFile bool
}

func newContextClient() *contexts.Client { return contexts.New(contexts.Options{Logger: logger()}) }

// load returns the Dockerfile. What it fetches for that, done deletes: one commit for
// whatever is planned or built until then.
func (o *buildOptions) load(ctx context.Context, offline bool) (text []byte, done func(), err error) {
	if !isRemote(o.context) {
		text, err = o.read()
		return text, func() {}, err
	}
	if offline {
		return nil, nil, usagef("--offline cannot read the build context %s; clone or unpack it and give the directory", contexts.Redact(o.context))
	}
	client := newContextClient()
	done = func() {
		if err := client.Close(); err != nil {
			logger().WarnContext(ctx, "the fetched build context is left behind", "error", err)
		}
	}
	o.remote = &remoteContext{client: client}
	if text, err = o.loadRemote(ctx); err != nil {
		done()
		return nil, nil, err
	}
	return text, done, nil
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

// addContext says where the build context and the Dockerfile are.
func (o *buildOptions) addContext(options *exact.Options) {
	options.Context, options.Filename = o.context, o.dockerfile
	if o.remote == nil || o.remote.localFile {
		options.DockerfileDir = filepath.Dir(o.dockerfile)
	}
}
