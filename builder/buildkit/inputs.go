package buildkit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

// Inputs are what jobs get beside the source, and what they keep beside the result.
// The zero value is nothing.
type Inputs struct {
	// Attrs returns further attributes of the frontend for a job, by BuildKit's names:
	// label:NAME, add-hosts, ulimit, attest:sbom, …
	Attrs func(planner.Job) map[string]string
	// Session serves what steps ask their client for: secrets, SSH agents.
	Session []session.Attachable
	// Entitlements are what steps may do that is not allowed otherwise, such as
	// network.host. The daemon has to allow it, too.
	Entitlements []string
	// CacheFrom and CacheTo say where a job's cache is imported from and exported to.
	// A daemon that does not know a type goes without, with a warning.
	CacheFrom, CacheTo func(planner.Job) []client.CacheOptionsEntry
	// Children returns what is in an index that a job made; it is required for
	// attestations.
	Children func(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error)
}

// add completes the request for a job.
func (in *Inputs) add(opt *client.SolveOpt, job planner.Job, lacking *backends) {
	if in.Attrs != nil {
		maps.Copy(opt.FrontendAttrs, in.Attrs(job))
	}
	opt.Session = append(opt.Session, in.Session...)
	opt.AllowedEntitlements = append(opt.AllowedEntitlements, in.Entitlements...)
	if in.CacheFrom != nil {
		opt.CacheImports = lacking.without("importer", in.CacheFrom(job))
	}
	if in.CacheTo != nil {
		opt.CacheExports = lacking.without("exporter", in.CacheTo(job))
	}
}

// backends are the kinds of caches that turned out not to be there, such as
// "exporter s3". Daemons do not say beforehand: capabilities are those of the API.
type backends struct {
	mu      sync.Mutex
	lacking map[string]bool
}

func (b *backends) without(role string, caches []client.CacheOptionsEntry) []client.CacheOptionsEntry {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := make([]client.CacheOptionsEntry, 0, len(caches))
	for _, cache := range caches {
		if !b.lacking[role+" "+cache.Type] {
			// BuildKit's client writes into the attributes.
			kept = append(kept, client.CacheOptionsEntry{Type: cache.Type, Attrs: maps.Clone(cache.Attrs)})
		}
	}
	return kept
}

// unknownCache is what a daemon says of a kind of cache that it does not have.
var unknownCache = regexp.MustCompile(`unknown cache (exporter|importer): "?([a-z0-9]+)"?`)

// note remembers what an error says is not there, and whether nothing was known of
// that type before.
func (b *backends) note(text string) (cacheType string, isNew bool) {
	match := unknownCache.FindStringSubmatch(text)
	if match == nil {
		return "", false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lacking == nil {
		b.lacking = make(map[string]bool)
	}
	isNew = !b.lacking["exporter "+match[2]] && !b.lacking["importer "+match[2]]
	b.lacking[match[1]+" "+match[2]] = true
	return match[2], isNew
}

// noteLacking reports whether an error is about a type of cache that the daemon does
// not have, and warns of each type once.
func (s *Solver) noteLacking(ctx context.Context, text string) bool {
	cacheType, isNew := s.lacking.note(text)
	if isNew {
		s.opts.Logger.WarnContext(ctx, "the BuildKit daemon has no cache of this type; building without it", "type", cacheType)
	}
	return cacheType != ""
}

// ImportsCache reports whether a vertex reads a cache. What goes wrong there fails no
// build.
func ImportsCache(v *client.Vertex) bool {
	return strings.HasPrefix(v.Name, "importing cache manifest from ")
}

// observeCaches looks for caches that cannot be imported for want of code.
func (s *Solver) observeCaches(ctx context.Context, status *client.SolveStatus) {
	for _, v := range status.Vertexes {
		if v.Error != "" && ImportsCache(v) {
			s.noteLacking(ctx, v.Error)
		}
	}
}

// flatten returns the image that a job made, and its attestations.
func (s *Solver) flatten(ctx context.Context, desc ocispec.Descriptor, job planner.Job) ([]ocispec.Descriptor, error) {
	list := []ocispec.Descriptor{desc}
	if isIndex(desc.MediaType) {
		if s.opts.Inputs.Children == nil {
			return nil, errors.New("the daemon exported an index, which was not asked for")
		}
		var err error
		if list, err = s.opts.Inputs.Children(ctx, desc); err != nil {
			return nil, fmt.Errorf("reading the index that the daemon exported: %w", err)
		}
	} else if desc.Platform == nil {
		list[0].Platform = &job.Platform
	}
	images := 0
	for i := range list {
		platform := list[i].Platform
		if platform == nil || platform.OS == "unknown" { // an attestation
			continue
		}
		if images++; images > 1 || !platforms.OnlyStrict(job.Platform).Match(*platform) {
			return nil, fmt.Errorf("the daemon exported %s for %s", platforms.FormatAll(*platform), platforms.FormatAll(job.Platform))
		}
		// Keep the variant as it was asked for.
		own := *platform
		own.Variant = job.Platform.Variant
		list[i].Platform = &own
	}
	if images == 0 {
		return nil, errors.New("the daemon exported attestations without an image")
	}
	return list, nil
}

func isIndex(mediaType string) bool {
	return slices.Contains([]string{ocispec.MediaTypeImageIndex, "application/vnd.docker.distribution.manifest.list.v2+json"}, mediaType)
}
