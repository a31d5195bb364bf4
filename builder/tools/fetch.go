package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/mabuild/mabuild/builder/registry"
)

// fetcher takes tools from images.
type fetcher struct {
	opts     Options
	cache    cache
	platform ocispec.Platform
	work     string // a folder of this run's own
}

// fromImages adds to found what the cache has, and downloads the rest.
func (o Options) fromImages(ctx context.Context, wants []want, found map[string]Tool) error {
	c, platform := cache{dir: o.Dir}, hostPlatform()
	take := func() (lock, error) {
		l, err := c.readLock()
		if err == nil && !o.Refresh {
			wants, err = c.take(l, platform, wants, found)
		}
		return l, err
	}
	if err := c.checkOwn(); err != nil {
		return err
	}
	if _, err := take(); err != nil || len(wants) == 0 {
		return err
	}
	if o.Offline || o.Registry == nil {
		return &Error{
			Op:   "getting " + names(wants),
			Err:  fmt.Errorf("%w: mabuild was told to stay offline, and %s doesn't have it", ErrOffline, o.Dir),
			Hint: offlineHint(wants),
		}
	}
	if err := c.open(); err != nil {
		return err
	}
	held, err := c.acquire(ctx, func() {
		o.Logger.InfoContext(ctx, "waiting for another process that fetches tools", "cache", o.Dir)
	})
	if err != nil {
		return err
	}
	defer held.Unlock() // the end of the process unlocks it as well
	// Who held the lock may have fetched them.
	l, err := take()
	if err != nil || len(wants) == 0 {
		return err
	}
	return o.download(ctx, c, platform, l, wants, found)
}

// download fetches tools, each image on its own. The caller holds the flock. What
// was fetched is kept even if another image fails.
func (o Options) download(ctx context.Context, c cache, platform ocispec.Platform, l lock, wants []want, found map[string]Tool) (err error) {
	if err := c.sweep(); err != nil {
		return err
	}
	if o.Refresh { // of the generation before: what is running may need the present one
		if err := c.prune(l); err != nil {
			return err
		}
	}
	f := &fetcher{opts: o, cache: c, platform: platform}
	if f.work, err = os.MkdirTemp(c.dir, workPattern); err != nil {
		return fmt.Errorf("making a folder for the download of tools: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(f.work)) }()

	groups := byImage(wants)
	fetched, errs := make([]lockedImage, len(groups)), make([]error, len(groups))
	var running errgroup.Group
	for i, group := range groups {
		_, known := l.image(group[0].image, platforms.Format(platform))
		running.Go(func() error {
			fetched[i], errs[i] = f.get(ctx, known, group)
			return nil
		})
	}
	_ = running.Wait() // they have their errors in errs
	if context.Cause(ctx) != nil {
		return context.Cause(ctx)
	}
	for i, image := range fetched {
		if errs[i] == nil {
			l = l.with(image)
		}
	}
	if err := c.writeLock(l); err != nil {
		return errors.Join(append(errs, err)...)
	}
	for i, group := range groups {
		for _, w := range group {
			if errs[i] == nil {
				found[w.name] = Tool{Path: c.file(fetched[i].Manifest, w.name), Source: source(fetched[i].Reference, fetched[i].Manifest)}
			}
		}
	}
	return errors.Join(errs...)
}

// byImage sorts tools by the image that they come from, which has one entry in the
// lock file.
func byImage(wants []want) [][]want {
	var groups [][]want
	for _, w := range wants {
		at := slices.IndexFunc(groups, func(g []want) bool { return g[0].image == w.image })
		if at < 0 {
			at, groups = len(groups), append(groups, nil)
		}
		groups[at] = append(groups[at], w)
	}
	return groups
}

// get fetches the tools of one image, and returns its entry for the lock file.
func (f *fetcher) get(ctx context.Context, known lockedImage, wants []want) (lockedImage, error) {
	ref, started := wants[0].image, time.Now()
	f.opts.Logger.InfoContext(ctx, "fetching tools", "tools", names(wants), "image", ref)
	entry, err := f.extract(ctx, known, wants)
	if err != nil {
		return lockedImage{}, f.explain(ctx, err, known, wants)
	}
	f.opts.Logger.InfoContext(ctx, "fetched tools", "tools", names(wants), "image", source(ref, entry.Manifest),
		"took", time.Since(started).Round(time.Millisecond))
	return entry, nil
}

// extract puts those of the tools into the cache that it lacks.
func (f *fetcher) extract(ctx context.Context, known lockedImage, wants []want) (lockedImage, error) {
	img, err := f.locate(ctx, known, wants[0].image)
	if err != nil {
		return lockedImage{}, err
	}
	entry := known
	if img.manifest != known.Manifest {
		entry = lockedImage{
			Reference: img.ref, Platform: platforms.Format(f.platform),
			Index: img.index, Manifest: img.manifest, Locked: time.Now().UTC().Truncate(time.Second),
		}
	}
	// A refresh may find that there is nothing new.
	wants, err = f.cache.take(lock{Images: []lockedImage{entry}}, f.platform, wants, map[string]Tool{})
	if err != nil {
		return lockedImage{}, err
	}
	files, err := f.files(ctx, img, wants)
	if err != nil {
		return lockedImage{}, err
	}
	for i, w := range wants {
		file, err := f.accept(ctx, files[i], entry, w)
		if err != nil {
			return lockedImage{}, fmt.Errorf("%s: %w", files[i].path, err)
		}
		entry = entry.with(file)
	}
	return entry, nil
}

// locate finds the image: the locked one, or what the reference means now.
func (f *fetcher) locate(ctx context.Context, known lockedImage, ref string) (image, error) {
	if known.Manifest != "" && !f.opts.Refresh {
		return f.pinned(ctx, ref, known.Manifest)
	}
	return f.resolve(ctx, ref)
}

// accept checks an extracted file and puts it into the cache.
func (f *fetcher) accept(ctx context.Context, from extracted, entry lockedImage, w want) (lockedFile, error) {
	sum, err := hashFile(from.file)
	if err != nil {
		return lockedFile{}, fmt.Errorf("reading it: %w", err)
	}
	info, err := os.Stat(from.file)
	if err != nil {
		return lockedFile{}, fmt.Errorf("reading it: %w", err)
	}
	file := lockedFile{Name: w.name, Path: from.path, Digest: sum, Size: info.Size()}
	if before, locked := entry.file(w.name); locked && before != file {
		return lockedFile{}, fmt.Errorf("%w: it is %s, and %s in the lock file", ErrDigest, sum, before.Digest)
	}
	// A name of its own: two tools may be links to one file.
	own := filepath.Join(filepath.Dir(from.file), w.name)
	if err := copyFile(from.file, own); err != nil {
		return lockedFile{}, fmt.Errorf("copying it: %w", err)
	}
	if err := checkProgram(ctx, own, w, f.platform); err != nil {
		return lockedFile{}, err
	}
	_, err = f.cache.install(own, entry.Manifest, w.name)
	return file, err
}

// copyFile makes an executable copy that is on the disk when it returns.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(0o755), out.Sync(), out.Close()) // whatever the umask
}

// explain gives an error its place and says what to do.
func (f *fetcher) explain(ctx context.Context, err error, known lockedImage, wants []want) error {
	if context.Cause(ctx) != nil {
		return context.Cause(ctx)
	}
	if described := (*Error)(nil); errors.As(err, &described) {
		return err
	}
	e := &Error{Op: "getting " + names(wants) + " from " + wants[0].image, Err: err}
	switch {
	case unreachable(err):
		e.Err, e.Hint = fmt.Errorf("%w: %w", ErrOffline, err), offlineHint(wants)
	case wrongContent(err):
		e.Err, e.Hint = fmt.Errorf("%w: %w", ErrDigest, err), "try again, without a mirror or proxy on the way if it stays so"
	case known.Manifest != "" && !f.opts.Refresh && errors.Is(err, registry.ErrNotFound):
		e.Hint = "the lock file names an image that is gone: remove " + f.cache.lockFile() + " to take what the tag names now"
	case known.Manifest != "" && errors.Is(err, ErrDigest):
		e.Hint = "compare " + f.cache.lockFile() + " with a copy that you trust; remove it to take what the tag names now"
	case errors.Is(err, ErrDigest):
		e.Hint = "try again, without a mirror or proxy on the way if it stays so"
	default:
		e.Hint = offlineHint(wants)
	}
	return e
}
