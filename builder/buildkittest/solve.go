package buildkittest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"sync"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/filesync"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// Solve is one request as [Options.Solve] sees it.
type Solve struct {
	Request *controlapi.SolveRequest
	server  *Server
	status  *stream
}

// Platform is the platform that the request asks the frontend for.
func (s *Solve) Platform() string { return s.Request.FrontendAttrs["platform"] }

// Report sends a status to the client of this Solve.
func (s *Solve) Report(status *client.SolveStatus) { s.status.add(status.Marshal()...) }

// Session is the session of the request; what exporters send goes there.
func (s *Solve) Session(ctx context.Context) (session.Caller, error) {
	return s.server.sessions.Get(ctx, s.Request.Session, false)
}

// Local returns a directory with the files of a local source, context or
// dockerfile. As on a daemon, whose local sources are known by their session and
// name, the files are asked for once for all requests that name the same session.
func (s *Solve) Local(ctx context.Context, name string) (string, error) {
	id, ok := s.Request.FrontendAttrs[localSession+name]
	if !ok {
		id = s.Request.Session
	}
	s.server.mu.Lock()
	source := s.server.locals[id+" "+name]
	if source == nil {
		source = &transfer{}
		s.server.locals[id+" "+name] = source
	}
	s.server.mu.Unlock()
	source.once.Do(func() { source.dir, source.err = s.server.receive(ctx, id, name) })
	return source.dir, source.err
}

// transfer is a local source of a session.
type transfer struct {
	once sync.Once
	dir  string
	err  error
}

func (s *Server) receive(ctx context.Context, id, name string) (string, error) {
	caller, err := s.sessions.Get(ctx, id, false)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(s.dir, "local")
	if err != nil {
		return "", err
	}
	return dir, filesync.FSSync(ctx, caller, filesync.FSSendRequestOpt{
		Name: name, DestDir: dir,
		// A daemon is root and keeps owners; a test need not be.
		Filter: func(_ string, st *fstypes.Stat) bool {
			st.Uid, st.Gid = uint32(os.Getuid()), uint32(os.Getgid())
			return true
		},
	})
}

// Image is the response of an exporter that made that image.
func Image(desc ocispec.Descriptor) map[string]string {
	body, err := json.Marshal(desc)
	if err != nil {
		panic(fmt.Sprintf("buildkittest: %v", err)) // a descriptor always has JSON
	}
	return map[string]string{
		exptypes.ExporterImageDigestKey:     desc.Digest.String(),
		exptypes.ExporterImageDescriptorKey: base64.StdEncoding.EncodeToString(body),
	}
}

// stream is the status of a Solve, kept until somebody reads it.
type stream struct {
	mu      sync.Mutex
	waiting []*controlapi.StatusResponse
	ended   bool
	changed chan struct{} // closed at a change
}

func newStream() *stream { return &stream{changed: make(chan struct{})} }

func (s *stream) add(responses ...*controlapi.StatusResponse) {
	s.change(func() { s.waiting = append(s.waiting, responses...) })
}

func (s *stream) end() { s.change(func() { s.ended = true }) }

func (s *stream) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stream) take() (responses []*controlapi.StatusResponse, ended bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	responses, s.waiting = s.waiting, nil
	return responses, s.ended, s.changed
}

// copyTo sends the status until it ends.
func (s *stream) copyTo(ctx context.Context, send func(*controlapi.StatusResponse) error) error {
	for {
		responses, ended, changed := s.take()
		for _, response := range responses {
			if err := send(response); err != nil {
				return err
			}
		}
		if ended {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
