package buildkittest

import (
	"maps"

	controlapi "github.com/moby/buildkit/api/services/control"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Made writes down in the history of builds what the i-th exporter of the Solve made.
// A daemon answers a Solve with one image, whatever the number of its exporters.
func (s *Solve) Made(i int, desc ocispec.Descriptor) {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	made := s.server.made[s.Request.Ref]
	if made == nil {
		made = make(map[int64]*controlapi.Descriptor)
		s.server.made[s.Request.Ref] = made
	}
	made[int64(i)] = &controlapi.Descriptor{
		MediaType: desc.MediaType, Digest: desc.Digest.String(), Size: desc.Size, Annotations: desc.Annotations,
	}
}

// ListenBuildHistory implements the control API for who asks about one build that has
// ended.
func (s *Server) ListenBuildHistory(request *controlapi.BuildHistoryRequest, out controlapi.Control_ListenBuildHistoryServer) error {
	s.mu.Lock()
	made := maps.Clone(s.made[request.Ref])
	s.mu.Unlock()
	if made == nil {
		return nil
	}
	return out.Send(&controlapi.BuildHistoryEvent{
		Type:   controlapi.BuildHistoryEventType_COMPLETE,
		Record: &controlapi.BuildHistoryRecord{Ref: request.Ref, Result: &controlapi.BuildResultInfo{Results: made}},
	})
}
