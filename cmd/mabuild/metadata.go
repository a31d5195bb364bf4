package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/verify"
	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
)

// metadata is the file of --metadata-file. The first four keys are buildx's and, like
// the platforms, about the image of the first output.
type metadata struct {
	Digest       digest.Digest               `json:"containerimage.digest,omitempty"`
	ConfigDigest digest.Digest               `json:"containerimage.config.digest,omitempty"`
	Descriptor   *ocispec.Descriptor         `json:"containerimage.descriptor,omitempty"`
	Name         string                      `json:"image.name,omitempty"`
	Platforms    map[string]platformMetadata `json:"mabuild.platforms"`
	// Images are all that the outputs were made of, if they are not the same.
	Images []imageMetadata `json:"mabuild.images,omitempty"`
}

// imageMetadata is one of several images: its attributes are what -o says.
type imageMetadata struct {
	Digest     digest.Digest `json:"digest"`
	Names      []string      `json:"names,omitempty"`
	Attributes string        `json:"attributes,omitempty"`
}

// platformMetadata is one platform's part. Emulated and Assisted count the commands
// that run under QEMU and those of them that get native tools, Cached the steps that
// did not have to run.
type platformMetadata struct {
	Digest    digest.Digest `json:"digest,omitempty"`
	MediaType string        `json:"mediaType,omitempty"`
	Size      int64         `json:"size,omitempty"`
	Seconds   float64       `json:"seconds"`
	Emulated  int           `json:"emulated"`
	Assisted  int           `json:"assisted"`
	Cached    int           `json:"cached"`
	Node      string        `json:"node"`
	Retries   int           `json:"retries,omitempty"`
	Error     string        `json:"error,omitempty"` // why it is missing
	// Programs is what emulated commands executed in this build, one that several
	// platforms share for each.
	Programs []commandMetadata `json:"programs,omitempty"`
}

// commandMetadata is what is known of an emulated command that ran.
type commandMetadata struct {
	Line     int    `json:"line,omitempty"`
	Stage    string `json:"stage,omitempty"`
	Platform string `json:"platform,omitempty"`
	*dispatch.Step
}

// imageID is what docker calls an image: the digest of its configuration, or that of
// the index if there is one.
func imageID(ctx context.Context, root ocispec.Descriptor, content verify.Source) (digest.Digest, error) {
	image := root.MediaType == ocispec.MediaTypeImageManifest || root.MediaType == index.MediaTypeDockerManifest
	if content == nil || !image {
		return root.Digest, nil
	}
	body, err := content.Open(ctx, root)
	if err != nil {
		return "", fmt.Errorf("reading the ID of the image: %w", err)
	}
	defer body.Close()
	var manifest ocispec.Manifest
	if err := json.NewDecoder(io.LimitReader(body, index.MaxSize)).Decode(&manifest); err != nil {
		return "", fmt.Errorf("reading the ID of the image: %w", err)
	}
	return manifest.Config.Digest, nil
}

// metadata gathers what is to be known of a build that succeeded.
func (o *buildOptions) metadata(result *builder.Result, id digest.Digest) metadata {
	m := metadata{Digest: result.Root.Digest, Name: strings.Join(o.names, ","), Platforms: map[string]platformMetadata{}}
	if m.Digest != "" {
		m.Descriptor = &result.Root
	}
	if id != m.Digest {
		m.ConfigDigest = id
	}
	if len(o.images) > 1 {
		for _, v := range o.images {
			m.Images = append(m.Images, imageMetadata{Digest: v.root.Digest, Names: v.names, Attributes: v.text()})
		}
	}
	for _, job := range result.Jobs {
		p := platformMetadata{
			Seconds: job.Duration.Round(1e6).Seconds(), Node: o.builder(), Retries: job.Retries,
			Cached: o.history.cached(platforms.FormatAll(job.Platform)),
		}
		p.Emulated, p.Assisted = o.emulated(job.Platform)
		p.Programs = o.reporting.programs(platforms.FormatAll(job.Platform))
		if len(job.Manifests) > 0 {
			image := job.Manifests[0]
			p.Digest, p.MediaType, p.Size = image.Digest, image.MediaType, image.Size
		}
		if job.Err != nil {
			p.Error = assist.StepName(job.Err.Error())
		}
		m.Platforms[platforms.Format(job.Platform)] = p
	}
	return m
}

// emulated counts a platform's commands that run under QEMU, and those of them that
// get native tools.
func (o *buildOptions) emulated(platform ocispec.Platform) (emulated, assisted int) {
	if o.planned == nil {
		return 0, 0
	}
	native := make(map[digest.Digest]bool)
	for _, s := range o.planned.Assists {
		native[s.ID] = s.Recipe != ""
	}
	name := planner.FormatPlatform(platform)
	for _, s := range o.planned.Plan.Steps {
		for _, p := range s.Platforms {
			if p != name || s.State != exact.StateEmulated {
				continue
			}
			emulated++
			if native[s.ID] {
				assisted++
			}
		}
	}
	return emulated, assisted
}

// failures is the file of --error-file.
type failures struct {
	ExitCode int       `json:"exitCode"`
	Class    string    `json:"class"`
	Message  string    `json:"message"`
	Failures []failure `json:"failures"`
}

// failure is one platform's.
type failure struct {
	Platform  string   `json:"platform,omitempty"`
	Class     string   `json:"class"`
	Stage     string   `json:"stage,omitempty"`
	File      string   `json:"file,omitempty"`
	Line      int      `json:"line,omitempty"`
	Step      string   `json:"step,omitempty"`
	Message   string   `json:"message"`
	Retryable bool     `json:"retryable"`
	Log       []string `json:"log,omitempty"`
}

// classes name the exit codes.
var classes = map[int]string{
	exitFailed: "build", exitUsage: "usage", exitEmulation: "emulation", exitPlan: "plan", exitNode: "node", exitRegistry: "registry",
}

func classOf(err error) string {
	if class, ok := classes[exitCode(err)]; ok {
		return class
	}
	return "interrupted"
}

func newFailures(err error) failures {
	all := failures{ExitCode: exitCode(err), Class: classOf(err), Message: assist.StepName(err.Error()), Failures: []failure{}}
	for _, failed := range jobErrors(err) {
		f := failure{Platform: platforms.Format(failed.Platform), Class: classOf(failed), Message: assist.StepName(failed.Err.Error()), Retryable: passes(failed)}
		var job *buildkit.Error
		if errors.As(failed, &job) {
			f.Stage, f.File, f.Line, f.Step, f.Log = job.Stage, job.File, job.Line, assist.StepName(job.Step), job.Log
			f.Retryable = f.Retryable || job.Kind == buildkit.NodeLost || job.Kind == buildkit.EmulatorCrashed
		}
		all.Failures = append(all.Failures, f)
	}
	var plan *planError
	if errors.As(err, &plan) {
		for _, found := range plan.findings {
			for _, platform := range found.Platforms {
				all.Failures = append(all.Failures, failure{
					Platform: platform, Class: classOf(plan), Stage: found.Stage, File: found.File, Line: found.Line, Message: found.Message,
				})
			}
		}
	}
	return all
}

// writeJSON writes a file as JSON.
func writeJSON(path string, content any) error {
	body, err := encodeJSON(content)
	if err != nil {
		return err
	}
	return writeWhole(path, body, 0o644)
}

func encodeJSON(content any) ([]byte, error) {
	var body bytes.Buffer
	out := json.NewEncoder(&body)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	err := out.Encode(content)
	return body.Bytes(), err
}

// writeWhole writes all of a file or nothing.
func writeWhole(path string, content []byte, mode fs.FileMode) error {
	part := path + ".mabuild-part"
	err := os.WriteFile(part, content, mode)
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.RemoveAll(part))
	}
	return nil
}
