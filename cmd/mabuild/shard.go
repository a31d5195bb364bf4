package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/ci"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/shard"
	"github.com/mabuild/mabuild/planner"
)

// shardFlags are about an image that several machines build, as written.
type shardFlags struct {
	platforms []string
	run       string
	wait      time.Duration
}

func (f *shardFlags) addFlags(set *pflag.FlagSet) {
	set.StringSliceVar(&f.platforms, "shard", nil, "build these `PLATFORMS` of --platform alone: the machines that build the others meet this one in the registry")
	f.addRun(set)
}

func (f *shardFlags) addRun(set *pflag.FlagSet) {
	set.StringVar(&f.run, "run-id", "", "what all machines of one image have in common, and no other image has: an `ID` (default: the CI system's)")
	set.DurationVar(&f.wait, "shard-wait", time.Minute, "how long to look for what the other machines built, at least as long as the registry takes to show it")
}

// runID is the one that is given, or the CI system's.
func (f *shardFlags) runID() (string, error) {
	run := cmp.Or(f.run, ci.RunID(os.LookupEnv))
	if run == "" {
		return "", usagef("the machines that build one image need a run ID to find each other; give all of them the same --run-id, one that no other build has")
	}
	return run, nil
}

// sharing is a build of some platforms of an image.
type sharing struct {
	run  string
	wait time.Duration
	all  []ocispec.Platform // of the image
	plan shard.Plan
	// publisher is that of the build, once it is known.
	publisher *shard.Publisher
}

// options leaves the platforms of this machine to build.
func (f *shardFlags) options(o *buildOptions) error {
	if len(f.platforms) == 0 {
		if f.run != "" {
			return usagef("--run-id is about --shard; add the platforms of this machine, or leave it away")
		}
		return nil
	}
	if f.wait < 0 {
		return usagef("--shard-wait cannot be negative")
	}
	if len(o.outputs) == 0 || slices.ContainsFunc(o.outputs, func(s output.Spec) bool { return !s.Push || s.ByDigest }) || len(o.tags) == 0 {
		return usagef("the machines of --shard meet in the registry: give -t REGISTRY/NAME:TAG and --push, and no other output")
	}
	if o.jobs.mayMiss != nil {
		return usagef("--allow-missing and --shard contradict each other: the other machines wait for every platform")
	}
	run, err := f.runID()
	if err != nil {
		return err
	}
	all, err := planner.ParsePlatforms(o.platforms...)
	if err != nil {
		return err
	}
	own, err := planner.ParsePlatforms(f.platforms...)
	if err != nil {
		return err
	}
	o.platforms = nil
	for _, p := range own {
		if !slices.ContainsFunc(all, platforms.OnlyStrict(p).Match) {
			return usagef("--shard %s is none of --platform, which has those of the whole image: %s", platforms.Format(p), platformNames(all))
		}
		o.platforms = append(o.platforms, platforms.FormatAll(p))
	}
	o.shards = &sharing{run: run, wait: f.wait, all: all}
	return nil
}

// describe notes what all machines have to agree on.
func (s *sharing) describe(o *buildOptions, text []byte) {
	s.plan = shard.Plan{
		"the Dockerfile": string(text), "the platforms": platformNames(s.all), "the target": o.target, "the build arguments": fmt.Sprint(o.args),
		"the arguments and targets of single platforms": fmt.Sprint(o.inputs.overrides),
	}
	if o.remote != nil && o.remote.opened != nil && o.remote.opened.Commit != "" {
		s.plan["the commit"] = o.remote.opened.Commit
	} else if commit := ci.Commit(os.LookupEnv); commit != "" {
		s.plan["the commit"] = commit
	}
}

// sharedPusher pushes like another one, but for the index: the machine that comes last
// makes it.
type sharedPusher struct {
	*output.Pusher
	shards *shard.Publisher
}

func (p *sharedPusher) Publish(ctx context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	if _, err := p.Gather(ctx, manifests); err != nil {
		return ocispec.Descriptor{}, err
	}
	return p.shards.Publish(ctx, manifests)
}

// pusher is the publisher to the registries of some names.
func (o *buildOptions) pusher(client *registry.Client, pusher *output.Pusher) (builder.Publisher, error) {
	if o.shards == nil {
		return pusher, nil
	}
	meeting, err := shard.New(shard.Options{
		Registry: client, Names: pusher.Names, Run: o.shards.run, Plan: o.shards.plan, Platforms: o.shards.all,
		Annotations: pusher.Annotations.Index, Patience: o.shards.wait, Logger: logger(),
	})
	if err != nil {
		return nil, &usageError{err}
	}
	o.shards.publisher = &shard.Publisher{Meeting: meeting}
	return &sharedPusher{pusher, o.shards.publisher}, nil
}

// refused says before anything is built that other machines build something else.
func (s *sharing) refused(ctx context.Context) error {
	if s == nil || s.publisher == nil {
		return nil
	}
	// Of a repository that nothing was pushed to yet, registries say all kinds of things.
	_, err := s.publisher.Meeting.Look(ctx)
	if other := (*shard.PlanError)(nil); errors.As(err, &other) {
		return other
	}
	return nil
}

// waiting says which platforms other machines still have to build; empty is none.
func (s *sharing) waiting() string {
	if s == nil || s.publisher == nil || s.publisher.Missing == nil {
		return ""
	}
	return "Waiting for " + platformNames(s.publisher.Missing.Platforms) + ": the machine that builds the last of them makes the index"
}

// joinShards makes the image of what the machines of a run have built.
func (f *joinFlags) joinShards(ctx context.Context) (*joinedMetadata, error) {
	if len(f.names) == 0 || len(f.platforms) == 0 {
		return nil, usagef("joining shards needs -t REGISTRY/NAME:TAG and --platform LIST, as the machines that built them")
	}
	run, err := f.shards.runID()
	if err != nil {
		return nil, err
	}
	all, err := planner.ParsePlatforms(f.platforms...)
	if err != nil {
		return nil, err
	}
	client, err := newRegistryClient(f.engineConfig)
	if err != nil {
		return nil, err
	}
	meeting, err := shard.New(shard.Options{Registry: client, Names: f.names, Run: run, Platforms: all, Patience: f.shards.wait, Logger: logger()})
	if err != nil {
		return nil, &usageError{err}
	}
	image, err := meeting.Wait(ctx)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "Pushed %s\n", strings.Join(f.names, ", "))
	fmt.Println(image.Root.Digest)
	m := shardMetadata(image, f.names)
	if f.metadataFile != "" {
		err = writeJSON(f.metadataFile, m)
	}
	return &m, err
}

func shardMetadata(image *shard.Image, names []string) joinedMetadata {
	m := joinedMetadata{
		Digest: image.Root.Digest, Descriptor: image.Root, Name: strings.Join(names, ","), Platforms: make(map[string]joinedPlatform),
	}
	for _, part := range image.Shards {
		if len(part.Manifests) > 0 {
			desc := part.Manifests[0]
			m.Platforms[platforms.Format(part.Platform)] = joinedPlatform{desc.Digest, desc.MediaType, desc.Size, part.Tag}
		}
	}
	return m
}
