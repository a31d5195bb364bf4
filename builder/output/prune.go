package output

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/gofrs/flock"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ErrInUse is returned by [Layout.Prune] while [Layout.Use] keeps it away.
var ErrInUse = errors.New("the image store is in use by a build, or by what reads it; prune it when that has ended")

// Use keeps [Layout.Prune] away while content is written that no entry leads to
// yet, or is read that an entry may not lead to any more. The returned function ends
// that, and deletes what was not written to its end.
func (l *Layout) Use() (release func() error, err error) {
	lock := flock.New(l.useFile())
	if err := lock.RLock(); err != nil {
		return nil, fmt.Errorf("locking the image layout: %w", err)
	}
	return func() error {
		return errors.Join(l.removeBegun(), lock.Unlock())
	}, nil
}

// removeBegun deletes what was not written to its end through this layout. Others may
// be writing theirs.
func (l *Layout) removeBegun() error {
	references, err := filepath.Glob(filepath.Join(l.dir, "ingest", "*", "ref"))
	for _, file := range references {
		if reference, readErr := os.ReadFile(file); readErr == nil && strings.HasSuffix(string(reference), l.blobs.suffix) {
			err = errors.Join(err, os.RemoveAll(filepath.Dir(file)))
		}
	}
	return err
}

func (l *Layout) useFile() string { return filepath.Join(l.dir, "use.lock") }

// Prune deletes content that no entry leads to, what killed builds left behind, and
// entries without a name if unnamed is set. It returns how many bytes became free.
func (l *Layout) Prune(ctx context.Context, unnamed bool) (int64, error) {
	lock := flock.New(l.useFile())
	if ok, err := lock.TryLock(); err != nil {
		return 0, fmt.Errorf("locking the image layout: %w", err)
	} else if !ok {
		return 0, ErrInUse
	}
	defer lock.Unlock()
	if unnamed {
		if err := l.update(func(index *ocispec.Index) {
			index.Manifests = slices.DeleteFunc(index.Manifests, func(d ocispec.Descriptor) bool { return nameOf(d) == "" })
		}); err != nil {
			return 0, err
		}
	}
	free, err := l.removeUnfinished()
	if err != nil {
		return free, fmt.Errorf("deleting what was not written to its end: %w", err)
	}
	reached, err := l.reachable(ctx)
	if err != nil {
		return free, err
	}
	var doomed []content.Info
	if err := l.blobs.Walk(ctx, func(info content.Info) error {
		if !reached[info.Digest] {
			doomed = append(doomed, info)
		}
		return nil
	}); err != nil {
		return free, fmt.Errorf("walking the image layout: %w", err)
	}
	for _, info := range doomed {
		if err := l.blobs.Delete(ctx, info.Digest); err != nil {
			return free, fmt.Errorf("deleting %s: %w", info.Digest, err)
		}
		free += info.Size
	}
	return free, nil
}

// removeUnfinished deletes what killed processes were writing: blobs, which nobody
// writes now, and index.json.
func (l *Layout) removeUnfinished() (free int64, err error) {
	ingests := filepath.Join(l.dir, "ingest")
	entries, err := os.ReadDir(ingests)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	for _, entry := range entries {
		ingest := filepath.Join(ingests, entry.Name())
		if data, err := os.Stat(filepath.Join(ingest, "data")); err == nil {
			free += data.Size()
		}
		if err := os.RemoveAll(ingest); err != nil {
			return free, err
		}
	}
	return free, l.locked(func() error {
		files, err := os.ReadDir(l.dir)
		for _, file := range files {
			if name := file.Name(); strings.HasPrefix(name, ocispec.ImageIndexFile+".") && strings.HasSuffix(name, ".tmp") {
				err = errors.Join(err, os.Remove(filepath.Join(l.dir, name)))
			}
		}
		return err
	})
}

// reachable are the digests that the entries lead to.
func (l *Layout) reachable(ctx context.Context) (map[digest.Digest]bool, error) {
	index, err := l.read()
	if err != nil {
		return nil, err
	}
	reached := map[digest.Digest]bool{}
	children := images.ChildrenHandler(l.blobs)
	handler := images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		reached[desc.Digest] = true
		next, err := children(ctx, desc)
		if errdefs.IsNotFound(err) {
			return nil, nil // an incomplete image keeps what it has
		}
		return next, err
	})
	if err := images.Walk(ctx, handler, index.Manifests...); err != nil {
		return nil, fmt.Errorf("following the image layout's entries: %w", err)
	}
	return reached, nil
}
