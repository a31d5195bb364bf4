package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/planner"
)

// runImage is what run was asked to run.
type runImage struct {
	name     string // as given
	ref      string // what a daemon pulls
	store    content.Store
	digest   digest.Digest
	list     []ocispec.Platform // nil if it is not known
	platform ocispec.Platform
	wanted   *ocispec.Platform
	release  func() error
	once     sync.Once
}

// close lets the image store be pruned again, or closes the archive.
func (i *runImage) close() {
	i.once.Do(func() {
		if i.release != nil {
			_ = i.release()
		}
	})
}

func (i *runImage) platformName() string { return platforms.FormatAll(i.platform) }

// resolveTimeout bounds how long a registry is asked for platforms that the daemon of
// --node may know without us.
const resolveTimeout = 10 * time.Second

// find looks for the image in the image store, and then in its registry.
func (f *runFlags) find(ctx context.Context, name string) (*runImage, error) {
	image := &runImage{name: name, ref: name}
	if f.platform != "" {
		wanted, err := planner.ParsePlatforms(f.platform)
		if err != nil {
			return nil, err
		}
		if len(wanted) != 1 {
			return nil, usagef("--platform %q are several; run one after the other", f.platform)
		}
		image.wanted = &wanted[0]
	}
	if f.source == "auto" && isArchive(name) {
		err := image.findArchive(ctx)
		if err != nil {
			image.close()
		}
		return image, err
	}
	switch f.source {
	case "auto", "store":
		found, err := image.findStored(ctx)
		if err == nil && found || err != nil {
			return image, err
		}
		if f.source == "store" {
			return nil, fmt.Errorf("%w: %s\n`mabuild images` lists what is in the image store.", output.ErrNotFound, name)
		}
	case "registry":
	default:
		return nil, usagef("--source=%s is unknown; use auto, store or registry", f.source)
	}
	return image, f.findRemote(ctx, image)
}

// findStored reports whether the image store has the image.
func (i *runImage) findStored(ctx context.Context) (bool, error) {
	store, release, err := useStore()
	if err != nil {
		return false, err
	}
	i.release = release
	entry, err := store.Find(ctx, i.name)
	if err != nil {
		i.close()
		if errors.Is(err, output.ErrNotFound) {
			return false, nil
		}
		return false, err
	}
	known, err := inspectStored(ctx, store, entry)
	if err != nil {
		i.close()
		return false, err
	}
	i.store, i.digest, i.list = store.Blobs(), known.Digest, known.platforms()
	return true, nil
}

// findRemote asks the registry for the platforms. A daemon of --node can know more
// registries than this machine, so that it is asked if ours fails.
func (f *runFlags) findRemote(ctx context.Context, image *runImage) error {
	named, err := reference.ParseDockerRef(image.name)
	if err != nil {
		return usagef("%q is no name of an image: %w", image.name, err)
	}
	image.ref = named.String()
	if f.node != "" && image.wanted != nil {
		return nil
	}
	asking := ctx
	if f.node != "" {
		var cancel context.CancelFunc
		asking, cancel = context.WithTimeoutCause(ctx, resolveTimeout, errors.New("no answer"))
		defer cancel()
	}
	known, err := inspect(asking, image.name, "registry", f.engineConfig)
	switch {
	case err != nil && f.node != "" && context.Cause(ctx) == nil:
		return nil
	case err != nil:
		return fmt.Errorf("%s is not in the image store (`mabuild images`): %w", image.name, err)
	}
	image.list = known.platforms()
	if _, pinned := named.(reference.Digested); !pinned {
		pin, err := reference.WithDigest(reference.TrimNamed(named), known.Digest)
		if err != nil {
			return err
		}
		image.ref = pin.String()
	}
	return nil
}

// platforms are those of the image that can be named.
func (i *inspected) platforms() []ocispec.Platform {
	var list []ocispec.Platform
	for _, item := range i.Platforms {
		if p, err := planner.ParsePlatforms(item.Platform); err == nil {
			list = append(list, p...)
		}
	}
	return list
}

// choose settles the platform and connects to what runs it.
func (f *runFlags) choose(ctx context.Context, image *runImage) (*node, error) {
	if f.node != "" {
		node, err := f.connect(ctx)
		if err != nil {
			return nil, err
		}
		if err := image.choose(node.Native()); err != nil {
			node.close()
			return nil, err
		}
		f.needed = []ocispec.Platform{image.platform}
		return node, nil
	}
	native := emulation.Native()
	if err := image.choose(native[0]); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(native, func(p ocispec.Platform) bool { return platforms.Only(p).Match(image.platform) }) {
		f.needed = []ocispec.Platform{image.platform}
	}
	return f.connect(ctx)
}

// choose settles the platform: what was asked for, or the node's own if the image has
// it, or the only one.
func (i *runImage) choose(native ocispec.Platform) error {
	wanted := native
	if i.wanted != nil {
		wanted = *i.wanted
	}
	i.platform = wanted
	if i.list == nil {
		return nil // the daemon will tell
	}
	match, found := platforms.Only(wanted), false
	for _, p := range i.list {
		// Only takes 32-bit images for 64-bit platforms, too, which nobody asked for.
		if p.Architecture == wanted.Architecture && match.Match(p) && (!found || match.Less(p, i.platform)) {
			i.platform, found = p, true
		}
	}
	switch {
	case found:
		return nil
	case len(i.list) == 0:
		return fmt.Errorf("%s has no image for a platform", i.name)
	case i.wanted == nil && len(i.list) == 1:
		i.platform = i.list[0]
		return nil
	case i.wanted != nil:
		return usagef("%s is not made for %s; it has %s", i.name, platforms.FormatAll(wanted), i.names())
	}
	return usagef("%s is not made for %s, the builder's own platform; choose one with --platform: %s", i.name, platforms.FormatAll(wanted), i.names())
}

func (i *runImage) names() string {
	names := make([]string, 0, len(i.list))
	for _, p := range i.list {
		names = append(names, platforms.FormatAll(p))
	}
	return strings.Join(names, ", ")
}
