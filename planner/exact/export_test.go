//go:build !race

package exact

import (
	"context"

	"github.com/moby/buildkit/frontend/dockerfile/builder"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
)

// capture is a builder that notes what it is asked to build.
type capture struct {
	*gateway
	digests []digest.Digest
}

func (c *capture) Solve(ctx context.Context, req gwclient.SolveRequest) (*gwclient.Result, error) {
	// What is read has no place in the Dockerfile.
	if req.Definition == nil || len(req.Definition.GetSource().GetInfos()) == 0 {
		if res, err := c.gateway.Solve(ctx, req); err == nil {
			return res, nil
		}
	}
	for _, text := range req.Definition.GetDef() {
		var op pb.Op
		if err := op.UnmarshalVT(text); err != nil {
			return nil, err
		}
		if op.Op != nil {
			c.digests = append(c.digests, digest.FromBytes(text))
		}
	}
	res := gwclient.NewResult()
	res.SetRef(&directory{})
	return res, nil
}

// Stock runs BuildKit's own frontend for every platform and returns the digests
// of the operations that it asks for.
func Stock(ctx context.Context, opts Options) (map[string][]digest.Digest, error) {
	opts, err := opts.complete()
	if err != nil {
		return nil, err
	}
	if opts.Dockerfile == nil && opts.remoteContext() {
		if opts.Dockerfile, err = opts.readDockerfile(ctx); err != nil {
			return nil, err
		}
	}
	p := &plan{opts: opts}
	if err := p.parse(); err != nil {
		return nil, err
	}
	if p.contexts, err = openContexts(opts.NamedContexts); err != nil {
		return nil, err
	}
	p.images = newImages(opts.Resolver, p.contexts.layouts)
	found := make(map[string][]digest.Digest)
	for _, j := range p.jobs {
		c := &capture{gateway: p.gateway(j)}
		c.options["cmdline"] = "builtin" // or "# syntax=" is followed
		if _, err := builder.Build(ctx, c); err != nil {
			return nil, err
		}
		found[j.name] = c.digests
	}
	return found, nil
}
