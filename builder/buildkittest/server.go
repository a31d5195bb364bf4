package buildkittest

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/util/grpcerrors"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
)

// Options script a [Server]. The zero value is a daemon for linux/amd64 that
// solves everything and exports nothing.
type Options struct {
	// Platforms of the worker, its own first. Default: linux/amd64.
	Platforms []ocispec.Platform
	// NoWorker makes the daemon one without a worker.
	NoWorker bool
	// Solve answers a Solve with what its exporters respond. It is called for
	// several requests at once. When ctx ends, the client has gone or given up.
	Solve func(ctx context.Context, solve *Solve) (map[string]string, error)
	// Cache are the records of the build cache. A prune deletes those that are
	// not in use.
	Cache []*controlapi.UsageRecord
}

// Server is a BuildKit daemon as its clients see it.
type Server struct {
	controlapi.UnimplementedControlServer
	opts     Options
	dir      string // of the socket and of what local sources send
	grpc     *grpc.Server
	sessions *session.Manager

	mu       sync.Mutex
	requests []*controlapi.SolveRequest
	streams  map[string]*stream   // by the reference of a Solve
	locals   map[string]*transfer // by session and name
	cache    []*controlapi.UsageRecord
	prunes   []*controlapi.PruneRequest
	made     map[string]map[int64]*controlapi.Descriptor // by the reference of a Solve
}

// New starts a server. It ends with the test.
func New(t testing.TB, opts Options) *Server {
	t.Helper()
	if len(opts.Platforms) == 0 {
		opts.Platforms = []ocispec.Platform{{OS: "linux", Architecture: "amd64"}}
	}
	if opts.Solve == nil {
		opts.Solve = func(context.Context, *Solve) (map[string]string, error) { return nil, nil }
	}
	sessions, err := session.NewManager()
	if err != nil {
		t.Fatal(err)
	}
	// Not the test's own directory: a socket's path has about 100 bytes.
	dir, err := os.MkdirTemp("", "bkt")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		opts: opts, dir: dir, sessions: sessions, cache: slices.Clone(opts.Cache),
		streams: map[string]*stream{}, locals: map[string]*transfer{},
		made: map[string]map[int64]*controlapi.Descriptor{},
		grpc: grpc.NewServer(
			grpc.UnaryInterceptor(grpcerrors.UnaryServerInterceptor),
			grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor)),
	}
	listener, err := net.Listen("unix", s.socket())
	if err != nil {
		t.Fatal(err)
	}
	controlapi.RegisterControlServer(s.grpc, s)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.grpc.Serve(listener)
	}()
	t.Cleanup(func() {
		s.Kill()
		<-served
		_ = os.RemoveAll(dir)
	})
	return s
}

func (s *Server) socket() string { return filepath.Join(s.dir, "s") }

// Address is where clients find the server.
func (s *Server) Address() string { return "unix://" + s.socket() }

// Kill cuts all connections and answers no more, as after a crash. It may be
// called by [Options.Solve].
func (s *Server) Kill() { s.grpc.Stop() }

// Requests returns the Solves so far, in the order in which they arrived.
func (s *Server) Requests() []*controlapi.SolveRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Prunes returns the prunes so far.
func (s *Server) Prunes() []*controlapi.PruneRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.prunes)
}
