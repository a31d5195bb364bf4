package buildkit

import (
	"context"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/mabuild/mabuild/planner"
)

// Call asks the frontend about the Dockerfile instead of building it. The method is
// one of BuildKit's subrequests without "frontend.": lint, outline, targets or
// subrequests.describe. The answer has the parts result.json, result.txt and
// result.statuscode. All jobs are asked about at once, with the target and the
// arguments of the first. Errors are as in [Solver.Solve].
func (s *Solver) Call(ctx context.Context, method string, jobs ...planner.Job) (map[string][]byte, error) {
	var names []string
	for _, job := range jobs {
		names = append(names, platforms.FormatAll(job.Platform))
		defer s.opts.Report(job, nil)
	}
	request, err := s.solveOpt(jobs[0])
	if err != nil {
		return nil, err
	}
	request.Exports, request.CacheExports, request.CacheImports = nil, nil, nil
	request.Internal = true // not for the history of builds
	attrs := request.FrontendAttrs
	attrs["platform"] = strings.Join(names, ",")
	attrs["requestid"] = "frontend." + method
	// A frontend that does not know the request would build.
	attrs["frontend.caps"] = "moby.buildkit.frontend.subrequests+forward"
	steps := newSteps()
	status, reported := make(chan *client.SolveStatus), make(chan struct{})
	go func() {
		defer close(reported)
		for st := range status {
			steps.observe(st)
			s.opts.Report(jobs[0], st)
		}
	}()
	var answer map[string][]byte
	_, err = s.opts.Node.client.Build(ctx, request, "mabuild", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		result, err := c.Solve(ctx, gateway.SolveRequest{Frontend: request.Frontend, FrontendOpt: attrs})
		if err == nil {
			answer = result.Metadata
		}
		return result, err
	}, status)
	<-reported
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, explain(err, jobs[0], s.opts.Source.filename, steps)
	}
	return answer, nil
}
