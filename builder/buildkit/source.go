package buildkit

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
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
	offered  *directories
	filename string            // the Dockerfile's name in its directory
	contexts map[string]string // BuildKit's attributes of the named contexts
	locals   []string          // names of all that the session offers
	done     chan struct{}
}

// SourceOptions say what a [Source] offers.
type SourceOptions struct {
	// Context is the directory that COPY reads; required.
	Context string
	// Dockerfile is the path of the Dockerfile; required.
	Dockerfile string
	// NamedContexts replace images and stages by name, each by docker-image://REF or
	// a directory.
	NamedContexts map[string]string
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
	source := &Source{
		filename: filepath.Base(opts.Dockerfile), done: make(chan struct{}),
		offered: &directories{named: map[string]fsutil.FS{contextName: files, dockerfileName: recipe}},
	}
	if err := source.addContexts(opts.NamedContexts); err != nil {
		return nil, err
	}
	// The key lets the daemon find what an earlier build of the same directory
	// sent, so that only differences travel.
	key := root
	if host, err := os.Hostname(); err == nil {
		key = host + ":" + root
	}
	if source.session, err = session.NewSession(ctx, "mabuild:"+key); err != nil {
		return nil, fmt.Errorf("opening the source session: %w", err)
	}
	source.session.Allow(filesync.NewFSSyncProvider(source.offered))
	// The session must outlive a cancelled build until its jobs have returned.
	running := context.WithoutCancel(ctx)
	go func() {
		defer close(source.done)
		_ = source.session.Run(running, grpchijack.Dialer(n.client.ControlClient()))
	}()
	return source, nil
}

// addContexts offers the directories among the named contexts. Their names are
// those that planner/exact gives them, so that a plan's digests are the build's.
func (s *Source) addContexts(named map[string]string) error {
	s.locals = []string{contextName, dockerfileName}
	s.contexts = make(map[string]string)
	for i, name := range slices.Sorted(maps.Keys(named)) {
		value, name := named[name], contextKey(name)
		if strings.HasPrefix(value, "docker-image://") {
			s.contexts[name] = value
			continue
		}
		if scheme, _, found := strings.Cut(value, "://"); found {
			return fmt.Errorf("offering the build context %s: %s:// is not supported; name an image by docker-image:// or a directory", name, scheme)
		}
		info, err := os.Stat(value)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a directory", value)
		}
		if err != nil {
			return fmt.Errorf("opening the build context %s: %w; check the path", name, err)
		}
		files, err := openFS(value)
		if err != nil {
			return fmt.Errorf("opening the build context %s: %w", name, err)
		}
		local := fmt.Sprintf("context%d", i)
		s.offered.add(local, files)
		s.locals = append(s.locals, local)
		s.contexts[name] = "local:" + local
	}
	return nil
}

// contextKey spells the name of a context as the frontend looks for it: a reference
// as people write it, without a tag that goes without saying.
func contextKey(name string) string {
	name, platform, found := strings.Cut(name, "::")
	if ref, err := reference.ParseNormalizedNamed(name); err == nil {
		name = strings.TrimSuffix(reference.FamiliarString(ref), ":latest")
	}
	if !found {
		return name
	}
	if parsed, err := platforms.Parse(platform); err == nil {
		platform = platforms.FormatAll(platforms.Normalize(parsed))
	}
	return name + "::" + platform
}

// SessionID is the id of the session, which is part of the digest of every step
// that uses a file of a context. With it a plan has the digests of the build:
// exact.Options.SessionID.
func (s *Source) SessionID() string { return s.session.ID() }

// Close ends the session.
func (s *Source) Close() error {
	err := s.session.Close()
	<-s.done
	return err
}

// attrs point a Solve at the session.
func (s *Source) attrs(set map[string]string) {
	set["filename"] = s.filename
	for _, local := range s.locals {
		set["local-sessionid:"+local] = s.session.ID()
	}
	for name, value := range s.contexts {
		set["context:"+name] = value
	}
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
