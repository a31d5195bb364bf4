package ghacache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/moby/buildkit/cache/remotecache"
	v1 "github.com/moby/buildkit/cache/remotecache/v1"
	cachetypes "github.com/moby/buildkit/cache/remotecache/v1/types"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/util/bklog"
	"github.com/moby/buildkit/util/compression"
	"github.com/moby/buildkit/util/progress"
	digest "github.com/opencontainers/go-digest"
	actionscache "github.com/tonistiigi/go-actions-cache"
)

// lockTime is after what an index that somebody reserved and never wrote is passed
// over.
const lockTime = 15 * time.Second

// createdAt is the annotation for the time of a layer.
const createdAt = "buildkit/createdat"

// ResolveExporter satisfies remotecache.ResolveCacheExporterFunc.
func ResolveExporter(_ context.Context, _ session.Group, attrs map[string]string) (remotecache.Exporter, error) {
	config, err := ParseConfig(attrs)
	if err != nil {
		return nil, err
	}
	cache, err := config.open()
	if err != nil {
		return nil, err
	}
	chains := v1.NewCacheChains()
	return &exporter{CacheExporterTarget: chains, chains: chains, cache: cache, config: config}, nil
}

type exporter struct {
	solver.CacheExporterTarget
	chains *v1.CacheChains
	cache  *actionscache.Cache
	config Config
	list   sync.Once
	known  map[string]struct{} // keys that are there; nil if they were not listed
}

// Name satisfies remotecache.Exporter.
func (*exporter) Name() string { return "exporting to GitHub Actions Cache" }

// Config satisfies remotecache.Exporter.
func (*exporter) Config() remotecache.Config {
	return remotecache.Config{Compression: compression.New(compression.Default)}
}

// Finalize writes the layers that are not there, then the index.
func (e *exporter) Finalize(ctx context.Context) (map[string]string, error) {
	config, layers, err := e.chains.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	for i, layer := range config.Layers {
		pair, ok := layers[layer.Blob]
		if !ok {
			return nil, fmt.Errorf("exporting cache: the layer %s is missing", layer.Blob)
		}
		if config.Layers[i].Annotations, err = describe(pair); err != nil {
			return nil, fmt.Errorf("exporting the layer %s: %w", layer.Blob, err)
		}
		if err := e.write(ctx, pair); err != nil {
			return nil, fmt.Errorf("exporting the layer %s: %w", layer.Blob, err)
		}
	}
	body, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	err = e.cache.SaveMutable(ctx, e.config.indexKey(e.scope()), lockTime, func(*actionscache.Entry) (actionscache.Blob, error) {
		return actionscache.NewBlob(body), nil
	})
	if err != nil {
		return nil, fmt.Errorf("exporting the index of the cache: %w", err)
	}
	return nil, nil //nolint:nilnil // BuildKit's exporters tell the client nothing more
}

// scope is the one that the token may write.
func (e *exporter) scope() string {
	scope := ""
	for _, s := range e.cache.Scopes() {
		if s.Permission&actionscache.PermissionWrite != 0 {
			scope = s.Scope
		}
	}
	return scope
}

// describe is what the index says of a layer.
func describe(pair v1.DescriptorProviderPair) (*cachetypes.LayerAnnotations, error) {
	desc := pair.Descriptor
	diffID, err := digest.Parse(desc.Annotations[labels.LabelUncompressed])
	if err != nil {
		return nil, fmt.Errorf("reading the digest of the uncompressed layer: %w", err)
	}
	a := &cachetypes.LayerAnnotations{DiffID: diffID, Size: desc.Size, MediaType: desc.MediaType}
	if text, ok := desc.Annotations[createdAt]; ok {
		created, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return nil, err
		}
		a.CreatedAt = created.UTC()
	}
	return a, nil
}

// write uploads a layer unless it is there.
func (e *exporter) write(ctx context.Context, pair v1.DescriptorProviderPair) error {
	key := blobKey(pair.Descriptor.Digest)
	there, err := e.has(ctx, key)
	if err != nil || there {
		return err
	}
	done := progress.OneOff(ctx, "writing layer "+pair.Descriptor.Digest.String())
	blob, err := pair.Provider.ReaderAt(ctx, pair.Descriptor)
	if err != nil {
		return done(err)
	}
	defer blob.Close()
	if err := e.cache.Save(ctx, key, blob); err != nil && !errors.Is(err, os.ErrExist) { // another job was faster
		return done(err)
	}
	return done(nil)
}

func (e *exporter) has(ctx context.Context, key string) (bool, error) {
	e.list.Do(func() { e.known = e.listKeys(ctx) })
	if e.known != nil {
		_, ok := e.known[key]
		return ok, nil
	}
	entry, err := e.cache.Load(ctx, key)
	return entry != nil, err
}

// listKeys asks GitHub's API for all keys, if it may.
func (e *exporter) listKeys(ctx context.Context) map[string]struct{} {
	if e.config.Repository == "" || e.config.GHToken == "" {
		return nil
	}
	api, err := actionscache.NewRestAPI(e.config.Repository, e.config.GHToken, e.config.options())
	if err == nil {
		var keys map[string]struct{}
		if keys, err = e.cache.AllKeys(ctx, api, blobPrefix); err == nil {
			return keys
		}
	}
	bklog.G(ctx).WithError(err).Warn("the keys of the GitHub Actions cache cannot be listed; asking for each")
	return nil
}
