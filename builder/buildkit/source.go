package buildkit

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/session/grpchijack"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// Names that the dockerfile frontend gives its local sources.
const (
	contextName    = "context"
	dockerfileName = "dockerfile"
)

// Source offers a build context and a Dockerfile to a node's jobs.
type Source struct {
	session  *session.Session
	filename string // the Dockerfile's name in its directory
	done     chan struct{}
}

// SourceOptions say what a [Source] offers.
type SourceOptions struct {
	// Context is the directory that COPY reads; required.
	Context string
	// Dockerfile is the path of the Dockerfile; required.
	Dockerfile string
	// Wrap, if set, replaces the file system of the context, for example to count
	// what is read.
	Wrap func(fsutil.FS) fsutil.FS
}

// Offer starts the source session on the node. It must be closed after the last
// job has returned.
func (n *Node) Offer(ctx context.Context, opts SourceOptions) (*Source, error) {
	root, err := filepath.Abs(opts.Context)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(root); err != nil {
		return nil, fmt.Errorf("opening the build context: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("opening the build context: %s is not a directory", opts.Context)
	}
	files, err := openFS(root)
	if err != nil {
		return nil, err
	}
	if opts.Wrap != nil {
		files = opts.Wrap(files)
	}
	recipe, err := openFS(filepath.Dir(opts.Dockerfile))
	if err != nil {
		return nil, err
	}
	// The key lets the daemon find what an earlier build of the same directory
	// sent, so that only differences travel.
	key := root
	if host, err := os.Hostname(); err == nil {
		key = host + ":" + root
	}
	s, err := session.NewSession(ctx, "mabuild:"+key)
	if err != nil {
		return nil, fmt.Errorf("opening the source session: %w", err)
	}
	s.Allow(filesync.NewFSSyncProvider(filesync.StaticDirSource{contextName: files, dockerfileName: recipe}))
	source := &Source{session: s, filename: filepath.Base(opts.Dockerfile), done: make(chan struct{})}
	// The session must outlive a cancelled build until its jobs have returned.
	running := context.WithoutCancel(ctx)
	go func() {
		defer close(source.done)
		_ = s.Run(running, grpchijack.Dialer(n.client.ControlClient()))
	}()
	return source, nil
}

// Close ends the session.
func (s *Source) Close() error {
	err := s.session.Close()
	<-s.done
	return err
}

// attrs point a Solve at the session.
func (s *Source) attrs(set map[string]string) {
	set["filename"] = s.filename
	set["local-sessionid:"+contextName] = s.session.ID()
	set["local-sessionid:"+dockerfileName] = s.session.ID()
}

// openFS is a directory as BuildKit's own client offers it: owned by root, so that
// two people get the same layers.
func openFS(dir string) (fsutil.FS, error) {
	files, err := fsutil.NewFS(dir)
	if err != nil {
		return nil, fmt.Errorf("opening %q: %w", dir, err)
	}
	return fsutil.NewFilterFS(files, &fsutil.FilterOpt{
		Map: func(_ string, st *fstypes.Stat) fsutil.MapResult {
			st.Uid, st.Gid = 0, 0
			return fsutil.MapResultKeep
		},
	})
}
