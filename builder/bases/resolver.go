package bases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Registry answers what the cache can't. *registry.Client is one.
type Registry interface {
	// Resolve returns the descriptor of what ref points to.
	Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error)
	// Fetch returns the content of desc, which is in the repository of ref. It is a
	// manifest or index if desc has no media type. Its size is 0 if it isn't known.
	Fetch(ctx context.Context, ref string, desc ocispec.Descriptor) ([]byte, error)
}

// Options configure a Resolver.
type Options struct {
	// Registry is asked for what isn't in the cache. Nil is like Offline.
	Registry Registry
	// Dir is the cache's folder. Default: mabuild/bases in the user's cache folder,
	// memory only if there is no such folder.
	Dir string
	// TTL is for how long a tag is believed to point to where it did. Default: a
	// minute. If negative, tags are asked for each time.
	TTL time.Duration
	// Offline makes no request, and uses tags of any age.
	Offline bool
	// Pull asks the registry for each tag once, however short ago another Resolver
	// did. Offline wins over it.
	Pull bool
	// Logger gets a line at level Warn for what is wrong with the cache, and one at
	// level Debug for every request. Default: none.
	Logger *slog.Logger

	now func() time.Time // for tests
}

// maxBases is how many references a Resolver keeps in mind. Builds have dozens.
const maxBases = 4096

// Resolver looks base images up. One Resolver should serve a whole build. It is safe
// for concurrent use, and so is its folder for several processes.
type Resolver struct {
	registry      Registry
	offline, pull bool
	ttl           time.Duration
	logger        *slog.Logger
	now           func() time.Time

	disk   *disk
	memory memory
	lookup flights[*Base]
	bodies flights[[]byte]

	mu    sync.Mutex
	known map[string]knownBase // by full reference
}

// knownBase is a finding with the time from which it dates.
type knownBase struct {
	base     *Base
	resolved time.Time
}

// New returns a Resolver. It does no input or output before its first operation.
func New(opts Options) *Resolver {
	r := &Resolver{
		registry: opts.Registry,
		offline:  opts.Offline || opts.Registry == nil,
		pull:     opts.Pull,
		ttl:      opts.TTL,
		logger:   opts.Logger,
		now:      opts.now,
		known:    map[string]knownBase{},
	}
	if r.ttl == 0 {
		r.ttl = time.Minute
	}
	if r.logger == nil {
		r.logger = slog.New(slog.DiscardHandler)
	}
	if r.now == nil {
		r.now = time.Now
	}
	if opts.Dir == "" {
		opts.Dir = defaultDir()
	}
	r.disk = &disk{dir: opts.Dir, logger: r.logger, now: r.now}
	return r
}

// Resolve returns what ref points to. The error is an [*Error]; it matches
// [ErrOffline] if a registry would have to be asked and must not be, and whatever
// the registry's client returned otherwise.
func (r *Resolver) Resolve(ctx context.Context, ref string) (*Base, error) {
	i, err := parse(ref)
	if err != nil {
		return nil, err
	}
	base, ok := r.recall(i)
	if !ok {
		base, err = r.lookup.do(ctx, i.ref, func(ctx context.Context) (*Base, error) {
			if base, ok := r.recall(i); ok { // by the call before
				return base, nil
			}
			return r.find(ctx, i)
		})
	}
	if err != nil {
		return nil, r.fail("looking up base image", i, err)
	}
	return clone(base), nil
}

// Config returns the config of one of the images that Resolve found in ref. The
// error is like Resolve's.
func (r *Resolver) Config(ctx context.Context, ref string, manifest ocispec.Descriptor) ([]byte, error) {
	i, err := parse(ref)
	if err != nil {
		return nil, err
	}
	body, err := r.config(ctx, manifest, r.remote(i))
	if err != nil {
		return nil, r.fail("reading the config of base image", i, err)
	}
	return body, nil
}

// Prune removes what nobody has read or written for a while from the cache's folder.
func (r *Resolver) Prune(olderThan time.Duration) error { return r.disk.prune(olderThan) }

func (r *Resolver) config(ctx context.Context, manifest ocispec.Descriptor, get getter) ([]byte, error) {
	body, err := get(ctx, ocispec.Descriptor{MediaType: manifest.MediaType, Digest: manifest.Digest, Size: manifest.Size})
	if err != nil {
		return nil, err
	}
	doc, err := readDocument(body)
	if err != nil {
		return nil, err
	}
	if doc.isIndex() {
		return nil, fmt.Errorf("%s is an index; its images have configs", manifest.Digest)
	}
	body, err = get(ctx, doc.configDescriptor())
	return bytes.Clone(body), err
}

// find looks i up in the cache and in its registry.
func (r *Resolver) find(ctx context.Context, i image) (*Base, error) {
	if i.digest != "" {
		base, err := describe(ctx, i, ocispec.Descriptor{Digest: i.digest}, r.remote(i))
		if err == nil {
			r.remember(i, base, r.now())
		}
		return base, err
	}
	old, ok := r.disk.readTag(ctx, i)
	if ok && (r.offline || !r.pull && r.fresh(old.Resolved)) {
		base, err := describe(ctx, i, ocispec.Descriptor{Digest: old.Digest}, r.local)
		if err == nil {
			r.remember(i, base, old.Resolved)
			return base, nil
		}
		if r.offline {
			return nil, err
		}
		// What the tag pointed to isn't all there: it may not be in the registry
		// any more either.
	}
	if r.offline {
		return nil, ErrOffline
	}
	base, err := r.ask(ctx, i)
	if err != nil && ok && unreachable(err) {
		return nil, r.suggestOffline(ctx, i, old, err)
	}
	return base, err
}

// ask asks the registry where i points to.
func (r *Resolver) ask(ctx context.Context, i image) (*Base, error) {
	asked := r.now() // not when the answer came: it may be as old as the question
	r.logger.DebugContext(ctx, "resolving a base image", "ref", i.ref)
	desc, err := r.registry.Resolve(ctx, i.ref)
	if err != nil {
		return nil, err
	}
	base, err := describe(ctx, i, desc, r.remote(i))
	if err != nil {
		return nil, err
	}
	// The tag comes last, so that other processes find what it points to.
	r.disk.writeTag(ctx, i, tag{Version: tagVersion, Ref: i.ref, Digest: desc.Digest, Resolved: asked.UTC()})
	r.remember(i, base, asked)
	return base, nil
}

// suggestOffline adds to err that the cache has an answer, if it has.
func (r *Resolver) suggestOffline(ctx context.Context, i image, old tag, err error) error {
	if _, missing := describe(ctx, i, ocispec.Descriptor{Digest: old.Digest}, r.local); missing != nil {
		return err
	}
	return &hinted{err, "--offline uses the cached one of " + ago(r.now().Sub(old.Resolved))}
}

// hinted carries a hint out of a call that several callers share.
type hinted struct {
	error
	hint string
}

func (r *Resolver) fail(op string, i image, err error) error {
	e := &Error{Op: op, Ref: i.ref, Err: err}
	var h *hinted
	switch {
	case errors.As(err, &h):
		e.Err, e.Hint = h.error, h.hint
	case errors.Is(err, ErrOffline):
		e.Hint = offlineHint
	}
	return e
}

func (r *Resolver) fresh(resolved time.Time) bool {
	age := r.now().Sub(resolved)
	return age >= 0 && age < r.ttl // a time to come is that of a clock set back
}

func (r *Resolver) recall(i image) (*Base, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found, ok := r.known[i.ref]
	return found.base, ok && (r.offline || i.digest != "" || r.fresh(found.resolved))
}

func (r *Resolver) remember(i image, base *Base, resolved time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= maxBases {
		clear(r.known)
	}
	r.known[i.ref] = knownBase{base, resolved}
}
