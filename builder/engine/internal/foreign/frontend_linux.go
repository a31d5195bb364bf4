package foreign

import (
	"context"
	"maps"

	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// Describe returns the frontend with its attributes of this package added to the
// description of every operation that it solves, where [Worker.ResolveOp] finds them.
func Describe(f frontend.Frontend) frontend.Frontend { return describing{f} }

type describing struct{ frontend.Frontend }

// Solve refuses unknown values, so that a typing error is not taken for a wish.
func (d describing) Solve(ctx context.Context, bridge frontend.FrontendLLBBridge, exec executor.Executor, opt map[string]string, inputs map[string]*pb.Definition, sid string, sm *session.Manager) (*frontend.Result, error) {
	if _, err := parseMode(opt); err != nil {
		return nil, err
	}
	said := map[string]string{}
	for _, name := range []string{dispatch.AssistAttribute, dispatch.AssistVerifyAttribute, dispatch.AccountingAttribute} {
		if value, ok := opt[name]; ok {
			said[name] = value
		}
	}
	if len(said) > 0 {
		bridge = describingBridge{bridge, said}
	}
	return d.Frontend.Solve(ctx, bridge, exec, opt, inputs, sid, sm)
}

type describingBridge struct {
	frontend.FrontendLLBBridge

	said map[string]string
}

// Solve hands the attributes on: to the operations of a definition, and to a
// frontend that this one calls unless it says something else.
func (b describingBridge) Solve(ctx context.Context, req frontend.SolveRequest, sid string) (*frontend.Result, error) {
	if req.Definition != nil {
		req.Definition = describe(req.Definition, b.said)
	}
	if req.Frontend != "" {
		opt := maps.Clone(b.said)
		maps.Copy(opt, req.FrontendOpt)
		req.FrontendOpt = opt
	}
	return b.FrontendLLBBridge.Solve(ctx, req, sid)
}

// describe returns the definition with the descriptions. The one that it was given
// may be in use elsewhere.
func describe(def *pb.Definition, said map[string]string) *pb.Definition {
	metadata := make(map[string]*pb.OpMetadata, len(def.Def))
	maps.Copy(metadata, def.Metadata)
	for _, op := range def.Def {
		key := digest.FromBytes(op).String()
		described := &pb.OpMetadata{}
		if have := metadata[key]; have != nil {
			described = have.CloneVT()
		}
		if described.Description == nil {
			described.Description = map[string]string{}
		}
		maps.Copy(described.Description, said)
		metadata[key] = described
	}
	return &pb.Definition{Def: def.Def, Metadata: metadata, Source: def.Source}
}
