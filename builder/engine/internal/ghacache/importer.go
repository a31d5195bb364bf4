package ghacache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/cache/remotecache"
	v1 "github.com/moby/buildkit/cache/remotecache/v1"
	cachetypes "github.com/moby/buildkit/cache/remotecache/v1/types"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/worker"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	actionscache "github.com/tonistiigi/go-actions-cache"
	"golang.org/x/sync/errgroup"
)

// ResolveImporter satisfies remotecache.ResolveCacheImporterFunc.
func ResolveImporter(_ context.Context, _ session.Group, attrs map[string]string) (remotecache.Importer, ocispec.Descriptor, error) {
	config, err := ParseConfig(attrs)
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	cache, err := config.open()
	return &importer{cache: cache, config: config}, ocispec.Descriptor{}, err
}

type importer struct {
	cache  *actionscache.Cache
	config Config
}

// Resolve reads the indexes of all scopes that the token may read.
func (i *importer) Resolve(ctx context.Context, _ ocispec.Descriptor, id string, w worker.Worker) (solver.CacheManager, error) {
	scopes := i.cache.Scopes()
	chains := make([]*v1.CacheChains, len(scopes))
	group, groupCtx := errgroup.WithContext(ctx)
	for n, scope := range scopes {
		group.Go(func() (err error) {
			chains[n], err = i.load(groupCtx, scope.Scope)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("reading the GitHub Actions cache: %w", err)
	}
	managers := make([]solver.CacheManager, 0, len(chains))
	for _, chain := range chains {
		keys, results, err := v1.NewCacheKeyStorage(chain, w)
		if err != nil {
			return nil, err
		}
		managers = append(managers, solver.NewCacheManager(ctx, id, keys, results))
	}
	return solver.NewCombinedCacheManager(managers, nil), nil
}

// load reads the index of a scope; it is empty if there is none.
func (i *importer) load(ctx context.Context, scope string) (*v1.CacheChains, error) {
	chains := v1.NewCacheChains()
	entry, err := i.cache.Load(ctx, i.config.indexKey(scope))
	if err != nil || entry == nil {
		return chains, err
	}
	var body bytes.Buffer
	if err := entry.WriteTo(ctx, &body); err != nil {
		return nil, err
	}
	var config cachetypes.CacheConfig
	if err := json.Unmarshal(body.Bytes(), &config); err != nil {
		return nil, fmt.Errorf("reading the index of scope %s: %w", scope, err)
	}
	layers := v1.DescriptorProvider{}
	for _, layer := range config.Layers {
		desc, err := descriptor(layer)
		if err != nil {
			return nil, fmt.Errorf("reading the layer %s of scope %s: %w", layer.Blob, scope, err)
		}
		p := &provider{cache: i.cache, desc: desc}
		layers[layer.Blob] = v1.DescriptorProviderPair{Descriptor: desc, Provider: p, InfoProvider: p}
	}
	return chains, v1.ParseConfig(config, layers, chains)
}

func descriptor(layer cachetypes.CacheLayer) (ocispec.Descriptor, error) {
	a := layer.Annotations
	if a == nil || a.DiffID == "" {
		return ocispec.Descriptor{}, errors.New("the digest of the uncompressed layer is missing")
	}
	desc := ocispec.Descriptor{
		MediaType: a.MediaType, Digest: layer.Blob, Size: a.Size,
		Annotations: map[string]string{labels.LabelUncompressed: a.DiffID.String()},
	}
	if !a.CreatedAt.IsZero() {
		desc.Annotations[createdAt] = a.CreatedAt.Format(time.RFC3339Nano)
	}
	return desc, nil
}

// provider reads one layer.
type provider struct {
	cache *actionscache.Cache
	desc  ocispec.Descriptor
	mu    sync.Mutex
	entry *actionscache.Entry
}

// Info satisfies content.InfoProvider.
func (p *provider) Info(ctx context.Context, d digest.Digest) (content.Info, error) {
	if _, err := p.find(ctx, d); err != nil {
		return content.Info{}, err
	}
	return content.Info{Digest: p.desc.Digest, Size: p.desc.Size}, nil
}

// ReaderAt satisfies content.Provider.
func (p *provider) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	entry, err := p.find(ctx, desc.Digest)
	if err != nil {
		return nil, err
	}
	// The reader outlives the call.
	return &reader{ReaderAtCloser: entry.Download(context.WithoutCancel(ctx)), size: desc.Size}, nil
}

func (p *provider) find(ctx context.Context, d digest.Digest) (*actionscache.Entry, error) {
	if d != p.desc.Digest {
		return nil, fmt.Errorf("looking for the layer %s: %w", d, errdefs.ErrNotFound)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.entry != nil {
		return p.entry, nil
	}
	entry, err := p.cache.Load(ctx, blobKey(d))
	if err == nil && entry == nil {
		err = errdefs.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("looking for the layer %s in the GitHub Actions cache: %w", d, err)
	}
	p.entry = entry
	return entry, nil
}

type reader struct {
	actionscache.ReaderAtCloser
	size int64
}

// ReadAt satisfies io.ReaderAt.
func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	if off >= r.size {
		return 0, io.EOF
	}
	return r.ReaderAtCloser.ReadAt(p, off)
}

// Size satisfies content.ReaderAt.
func (r *reader) Size() int64 { return r.size }
