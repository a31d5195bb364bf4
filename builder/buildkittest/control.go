package buildkittest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	apitypes "github.com/moby/buildkit/api/types"
	"github.com/moby/buildkit/session/grpchijack"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// sessionTimeout is how long BuildKit waits for a session.
const sessionTimeout = 5 * time.Second

// localSession begins the attribute that says which session has a local source.
const localSession = "local-sessionid:"

// ListWorkers implements the control API.
func (s *Server) ListWorkers(context.Context, *controlapi.ListWorkersRequest) (*controlapi.ListWorkersResponse, error) {
	response := &controlapi.ListWorkersResponse{}
	if !s.opts.NoWorker {
		response.Record = []*apitypes.WorkerRecord{{ID: "worker", Platforms: pb.PlatformsFromSpec(s.opts.Platforms)}}
	}
	return response, nil
}

// Session implements the control API: it is BuildKit's own.
func (s *Server) Session(stream controlapi.Control_SessionServer) error {
	conn, closed, header := grpchijack.Hijack(stream)
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	go func() {
		<-closed
		cancel(errors.New("the session was closed"))
	}()
	return s.sessions.HandleConn(ctx, conn, header)
}

// Solve implements the control API.
func (s *Server) Solve(ctx context.Context, request *controlapi.SolveRequest) (*controlapi.SolveResponse, error) {
	status := s.stream(request.Ref)
	// The client reads the status to its end before it returns.
	defer status.end()
	s.mu.Lock()
	s.requests = append(s.requests, request)
	s.mu.Unlock()
	if err := s.awaitSessions(ctx, request); err != nil {
		return nil, err
	}
	response, err := s.opts.Solve(ctx, &Solve{Request: request, server: s, status: status})
	if err != nil {
		return nil, err
	}
	return &controlapi.SolveResponse{ExporterResponse: response}, nil
}

// awaitSessions talks to the sessions of a request once, as a daemon does in every
// Solve. A session that is closed while it still shakes hands would keep its client
// waiting for a second.
func (s *Server) awaitSessions(ctx context.Context, request *controlapi.SolveRequest) error {
	ctx, cancel := context.WithTimeoutCause(ctx, sessionTimeout, context.DeadlineExceeded)
	defer cancel()
	ids := map[string]bool{request.Session: true}
	for name, value := range request.FrontendAttrs {
		if strings.HasPrefix(name, localSession) {
			ids[value] = true
		}
	}
	for id := range ids {
		caller, err := s.sessions.Get(ctx, id, false)
		if err != nil {
			return err
		}
		health := grpc_health_v1.NewHealthClient(caller.Conn())
		if _, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true)); err != nil {
			return err
		}
	}
	return nil
}

// Status implements the control API. The Solve need not have begun.
func (s *Server) Status(request *controlapi.StatusRequest, out controlapi.Control_StatusServer) error {
	return s.stream(request.Ref).copyTo(out.Context(), out.Send)
}

// DiskUsage implements the control API.
func (s *Server) DiskUsage(context.Context, *controlapi.DiskUsageRequest) (*controlapi.DiskUsageResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &controlapi.DiskUsageResponse{Record: slices.Clone(s.cache)}, nil
}

// Prune implements the control API. Its filters are noted, not obeyed.
func (s *Server) Prune(request *controlapi.PruneRequest, out controlapi.Control_PruneServer) error {
	s.mu.Lock()
	s.prunes = append(s.prunes, request)
	var deleted []*controlapi.UsageRecord
	s.cache = slices.DeleteFunc(s.cache, func(r *controlapi.UsageRecord) bool {
		if !r.InUse {
			deleted = append(deleted, r)
		}
		return !r.InUse
	})
	s.mu.Unlock()
	for _, record := range deleted {
		if err := out.Send(record); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) stream(ref string) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[ref] == nil {
		s.streams[ref] = newStream()
	}
	return s.streams[ref]
}
