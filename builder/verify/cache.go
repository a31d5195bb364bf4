package verify

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/verify/internal/layer"
)

const (
	// maxCache is how large the cache grows; it is cut down to three quarters then.
	// A layer of 5,000 files takes 100 kB.
	maxCache = 128 << 20
	// maxCached is the size of the largest layer that is kept.
	maxCached  = 32 << 20
	unfinished = "new-"
	abandoned  = time.Hour
)

// cache keeps what layers hold in files that are named by the layer's two digests
// and the version of the rules. Processes share it: files are written beside their
// place and renamed. What it cannot do costs time and nothing else, so that it only
// logs. A nil cache is empty.
type cache struct {
	dir    string
	most   int64 // bytes of all files, 0: maxCache
	logger *slog.Logger
}

// file is named by both digests: a compressed layer proved once which diff ID it
// has.
func (c *cache) file(blob, diffID digest.Digest) string {
	key := digest.FromString(strings.Join([]string{layer.Rules, blob.String(), diffID.String()}, " "))
	return filepath.Join(c.dir, key.Encoded())
}

func (c *cache) get(blob, diffID digest.Digest) (*layer.Layer, bool) {
	if c == nil {
		return nil, false
	}
	name := c.file(blob, diffID)
	info, err := os.Stat(name)
	if err != nil || info.Size() > maxCached {
		return nil, false
	}
	body, err := os.ReadFile(name)
	if err != nil {
		return nil, false
	}
	l, err := layer.Decode(body)
	if err != nil {
		c.logger.Debug("a cached layer is damaged and is read again", "file", name, "error", err)
		return nil, false
	}
	// The oldest go first.
	if now := time.Now(); now.Sub(info.ModTime()) > time.Hour {
		_ = os.Chtimes(name, now, now)
	}
	return l, true
}

func (c *cache) put(blob, diffID digest.Digest, l *layer.Layer) {
	if c == nil {
		return
	}
	body := l.Encode()
	if len(body) > maxCached {
		return
	}
	err := c.write(c.file(blob, diffID), body)
	if err == nil {
		err = c.prune()
	}
	if err != nil {
		c.logger.Debug("keeping a layer in the cache did not work", "error", err)
	}
}

func (c *cache) write(name string, body []byte) (err error) {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return fmt.Errorf("creating the cache of layers: %w", err)
	}
	f, err := os.CreateTemp(c.dir, unfinished)
	if err != nil {
		return fmt.Errorf("writing to the cache of layers: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(body)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing to the cache of layers: %w", err)
	}
	return os.Rename(f.Name(), name)
}

// prune removes the files that were not used for longest.
func (c *cache) prune() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("reading the cache of layers: %w", err)
	}
	var files []fs.FileInfo
	var size int64
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if strings.HasPrefix(info.Name(), unfinished) {
			if time.Since(info.ModTime()) > abandoned {
				_ = os.Remove(filepath.Join(c.dir, info.Name()))
			}
			continue
		}
		files = append(files, info)
		size += info.Size()
	}
	most := cmp.Or(c.most, maxCache)
	if size <= most {
		return nil
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), strings.Compare(a.Name(), b.Name()))
	})
	for _, info := range files {
		if size <= most/4*3 {
			break
		}
		if err := os.Remove(filepath.Join(c.dir, info.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing from the cache of layers: %w", err)
		}
		size -= info.Size()
	}
	return nil
}
