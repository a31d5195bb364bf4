package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/ci"
	"github.com/mabuild/mabuild/builder/report"
	"github.com/mabuild/mabuild/builder/report/record"
	"github.com/mabuild/mabuild/builder/verify"
	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
)

// reporting keeps what becomes of a build, for --report and mabuild history.
type reporting struct {
	*record.Recorder
	file string // of --report
	done *report.Build

	mu     sync.Mutex
	images map[string]record.Image
}

func newReporting(o *buildOptions, plan *planner.Plan, id string) *reporting {
	options := record.Options{
		ID: id, Mabuild: version(), File: o.dockerfile, Context: o.context, Target: o.target, Builder: o.builder(),
	}
	for _, job := range plan.Jobs {
		options.Platforms = append(options.Platforms, platforms.FormatAll(job.Platform))
	}
	return &reporting{Recorder: record.New(options), file: o.reportFile, images: make(map[string]record.Image)}
}

// observe listens to what next hears.
func (r *reporting) observe(next func(planner.Job, *client.SolveStatus)) func(planner.Job, *client.SolveStatus) {
	return func(job planner.Job, status *client.SolveStatus) {
		next(job, status)
		r.Observe(platforms.FormatAll(job.Platform), status)
	}
}

// verify looks at the images before next does. What cannot be read is left out.
func (r *reporting) verify(source verify.Source, next func(context.Context, planner.Job, []ocispec.Descriptor) error) func(context.Context, planner.Job, []ocispec.Descriptor) error {
	return func(ctx context.Context, job planner.Job, manifests []ocispec.Descriptor) error {
		for _, desc := range manifests {
			if desc.Annotations["vnd.docker.reference.type"] != "" {
				continue // an attestation
			}
			image := record.Image{Digest: desc.Digest.String()}
			if source != nil {
				image.Layers, _ = readLayers(ctx, source, desc)
			}
			r.mu.Lock()
			r.images[platforms.FormatAll(job.Platform)] = image
			r.mu.Unlock()
		}
		if next == nil {
			return nil
		}
		return next(ctx, job, manifests)
	}
}

func readLayers(ctx context.Context, source verify.Source, desc ocispec.Descriptor) ([]report.Layer, error) {
	manifest, err := readBlob(ctx, source, desc)
	if err != nil {
		return nil, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return nil, fmt.Errorf("reading the manifest %s: %w", desc.Digest, err)
	}
	config, err := readBlob(ctx, source, m.Config)
	if err != nil {
		return nil, err
	}
	return report.Layers(manifest, config)
}

func readBlob(ctx context.Context, source verify.Source, desc ocispec.Descriptor) ([]byte, error) {
	blob, err := source.Open(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	return io.ReadAll(io.LimitReader(blob, 8<<20))
}

// end keeps the build, and writes the page that was asked for. That nothing can be
// kept ends no build.
func (r *reporting) end(o *buildOptions, result *builder.Result, failed []*builder.JobError, err error) error {
	outcome := record.Outcome{Names: o.names, Images: r.images, Err: err, Failed: make(map[string]error)}
	for _, job := range failed {
		outcome.Failed[platforms.FormatAll(job.Platform)] = job.Err
	}
	if result != nil {
		outcome.Digest = result.Root.Digest.String()
		for _, job := range result.Jobs {
			if job.Err != nil { // the result goes without it
				outcome.Failed[platforms.FormatAll(job.Platform)] = job.Err
			}
		}
	}
	done := r.Build(outcome)
	if o.planned != nil {
		done.Findings = reportFindings(o, err != nil)
	}
	if secrets := o.secretTexts(); len(secrets) > 0 {
		done = ci.NewSecrets(secrets...).Redact(done)
	}
	r.done = done
	if err := (report.Store{}).Save(done); err != nil {
		logger().Warn("the build is not kept for mabuild history", "error", err)
	}
	if r.file == "" {
		return nil
	}
	return report.WriteFile(r.file, done, report.Options{})
}

// programs lists what a platform's emulated commands executed, after the build.
func (r *reporting) programs(platform string) (commands []commandMetadata) {
	for _, s := range r.done.Steps {
		if s.Programs != nil && slices.Contains(s.Platforms, platform) {
			commands = append(commands, commandMetadata{s.Line, s.Stage, s.ExecPlatform, s.Programs})
		}
	}
	return commands
}

func reportFindings(o *buildOptions, failed bool) []report.Finding {
	var list []report.Finding
	findings := o.found
	if findings == nil { // nobody looked for more
		findings = o.planned.Plan.Findings
	}
	for _, f := range findings {
		if f.Rule == exact.RuleBaseUnavailable && !failed {
			continue // the daemon reached it, or did not need it
		}
		list = append(list, report.Finding{
			Rule: f.Rule, Level: string(f.Level), Line: f.Line, Stage: f.Stage, Platforms: f.Platforms, Message: f.Message, Fix: f.Fix, URL: f.URL,
		})
	}
	return list
}
