package buildkit

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/grpchijack"
	"github.com/moby/buildkit/util/staticfs"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/mabuild/mabuild/builder/buildkit/internal/transfer"
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
	remote   map[string]string // BuildKit's attributes of a context that is a URL
	contexts map[string]string // BuildKit's attributes of the named contexts
	layouts  map[string]content.Store
	// attachables are for the sessions of the jobs: daemons look there for them.
	attachables []session.Attachable
	locals      []string // names of all that the session offers
	done        chan struct{}
}

// SourceOptions say what a [Source] offers.
type SourceOptions struct {
	// Context is the directory that COPY reads; required without URL.
	Context string
	// URL is a git repository, an archive or a Dockerfile on an http server, which
	// the daemon fetches and COPY reads instead of Context.
	URL string
	// Archive opens a tar archive, plain or compressed, that COPY reads instead of
	// Context; URL is then one of [ArchiveURL]. It is called for every transfer.
	Archive func() (io.ReadCloser, error)
	// Dockerfile is the path of the Dockerfile; required.
	Dockerfile string
	// InContext is set if Dockerfile is a path in the context of URL.
	InContext bool
	// NamedContexts replace images and stages by name, each by docker-image://REF,
	// oci-layout://DIR[:TAG][@DIGEST], the URL of a git repository or an archive, or a
	// directory. Layouts are offered by the jobs' own sessions, so that steps on them
	// have other digests than in a plan.
	NamedContexts map[string]string
	// Wrap, if set, replaces the file system of the context, for example to count
	// what is read.
	Wrap func(fsutil.FS) fsutil.FS
}

// Offer starts the source session on the node. It must be closed after the last
// job has returned.
func (n *Node) Offer(ctx context.Context, opts SourceOptions) (*Source, error) {
	source := &Source{
		filename: filepath.Base(opts.Dockerfile), done: make(chan struct{}),
		offered: &directories{named: make(map[string]fsutil.FS)},
		remote:  make(map[string]string), contexts: make(map[string]string), layouts: make(map[string]content.Store),
		locals: []string{contextName, dockerfileName},
	}
	root, err := source.addContext(opts)
	if err != nil {
		return nil, err
	}
	if err := source.addDockerfile(opts); err != nil {
		return nil, err
	}
	for i, name := range slices.Sorted(maps.Keys(opts.NamedContexts)) {
		if err := source.addNamed(i, name, opts.NamedContexts[name]); err != nil {
			return nil, err
		}
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
	source.session.Allow(transfer.NewProvider(source.offered))
	// The session must outlive a cancelled build until its jobs have returned.
	running := context.WithoutCancel(ctx)
	go func() {
		defer close(source.done)
		_ = source.session.Run(running, grpchijack.Dialer(n.client.ControlClient()))
	}()
	return source, nil
}

// addContext offers the build context and returns what it is called.
func (s *Source) addContext(opts SourceOptions) (root string, err error) {
	if opts.URL != "" {
		s.remote["context"] = opts.URL
		if opts.Archive != nil {
			s.attachables = append(s.attachables, &uploads{open: opts.Archive})
		}
		s.offered.add(contextName, staticfs.NewFS())
		return opts.URL, nil
	}
	if root, err = filepath.Abs(opts.Context); err != nil {
		return "", err
	}
	if info, err := os.Stat(root); err != nil {
		return "", fmt.Errorf("opening the build context: %w", err)
	} else if !info.IsDir() {
		return "", fmt.Errorf("opening the build context: %s is not a directory", opts.Context)
	}
	files, err := openFS(root)
	if err != nil {
		return "", err
	}
	if opts.Wrap != nil {
		files = opts.Wrap(files)
	}
	s.offered.add(contextName, files)
	return root, nil
}

// addDockerfile offers the directory of the Dockerfile if that is on this machine.
func (s *Source) addDockerfile(opts SourceOptions) error {
	if opts.InContext {
		s.filename = filepath.ToSlash(opts.Dockerfile)
		s.offered.add(dockerfileName, staticfs.NewFS())
		return nil
	}
	recipe, err := openFS(filepath.Dir(opts.Dockerfile))
	if err != nil {
		return err
	}
	s.offered.add(dockerfileName, recipe)
	if opts.URL != "" {
		s.remote["dockerfilekey"] = dockerfileName
	}
	return nil
}

// addNamed offers the i-th of the named contexts. What it is called to the daemon is
// what planner/exact calls it, so that a plan's digests are the build's.
func (s *Source) addNamed(i int, name, value string) error {
	key := contextKey(name)
	scheme, rest, found := strings.Cut(value, "://")
	switch {
	case found && scheme == "oci-layout":
		store := fmt.Sprintf("layout%d", i)
		layout, root, err := openLayout(rest)
		if err != nil {
			return fmt.Errorf("opening the build context %s: %w", name, err)
		}
		s.layouts[store] = layout
		s.contexts[key] = fmt.Sprintf("oci-layout://%s@%s", store, root)
		return nil
	case found && slices.Contains([]string{"docker-image", "http", "https", "git"}, scheme), strings.HasPrefix(value, "git@"):
		s.contexts[key] = value
		return nil
	case found:
		return fmt.Errorf("offering the build context %s: %s:// is not supported; use docker-image://, oci-layout://, https:// or a directory", name, scheme)
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
	s.contexts[key] = "local:" + local
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
	maps.Copy(set, s.remote)
	for name, value := range s.contexts {
		set["context:"+name] = value
	}
}

// openFS is a directory as BuildKit's own client offers it: owned by root, so that
// two people get the same layers.
func openFS(dir string) (fsutil.FS, error) {
	files, err := transfer.Open(dir)
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
