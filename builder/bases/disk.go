package bases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	day = 24 * time.Hour
	// keep is how long something stays in the cache that nobody reads.
	keep = 30 * day
	// maxUnfinished is the age beyond which a file in tmp belongs to a process that
	// is no more.
	maxUnfinished = time.Hour
)

// disk is the cache's folder. Without a folder it is always empty.
type disk struct {
	dir    string
	logger *slog.Logger
	now    func() time.Time
	daily  sync.Once // whether a clean-up is due
}

func (d *disk) blobPath(dgst digest.Digest) string {
	return filepath.Join(d.dir, "blobs", dgst.Algorithm().String(), dgst.Encoded())
}

func (d *disk) tagPath(i image) string {
	return filepath.Join(d.dir, "tags", digest.FromString(i.ref).Encoded()+".json")
}

// readBlob returns the content with a digest that has been validated.
func (d *disk) readBlob(ctx context.Context, dgst digest.Digest) ([]byte, bool) {
	if d.dir == "" {
		return nil, false
	}
	body, err := d.read(d.blobPath(dgst), MaxSize)
	if err == nil && dgst.Algorithm().FromBytes(body) != dgst {
		err = errors.New("its content doesn't match its digest")
	}
	return body, d.usable(ctx, d.blobPath(dgst), err)
}

// readTag returns what is known about a tag, however old.
func (d *disk) readTag(ctx context.Context, i image) (tag, bool) {
	if d.dir == "" {
		return tag{}, false
	}
	var t tag
	text, err := d.read(d.tagPath(i), maxTag)
	if err == nil {
		t, err = parseTag(text)
	}
	if err == nil && t.Ref != i.ref {
		err = fmt.Errorf("it is about %s", t.Ref)
	}
	return t, d.usable(ctx, d.tagPath(i), err)
}

// usable tells the log about files that are there and no use.
func (d *disk) usable(ctx context.Context, path string, err error) bool {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.logger.WarnContext(ctx, "ignoring a file in the cache of base images", "file", path, "error", err)
	}
	return err == nil
}

func (d *disk) read(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it isn't a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	body, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("it is larger than %d bytes", limit)
	}
	// The time of a file says when it was last of use, to a day.
	if now := d.now(); now.Sub(info.ModTime()) > day {
		_ = os.Chtimes(path, now, now)
	}
	return body, nil
}

func (d *disk) writeBlob(ctx context.Context, dgst digest.Digest, body []byte) {
	d.write(ctx, d.blobPath(dgst), body)
}

func (d *disk) writeTag(ctx context.Context, i image, t tag) {
	text, err := t.encode()
	if err != nil {
		d.logger.WarnContext(ctx, "not remembering a tag", "ref", i.ref, "error", err)
		return
	}
	d.write(ctx, d.tagPath(i), text)
}

// write puts a file into the cache. A cache that can't be written is no reason to
// fail: it is one more request next time.
func (d *disk) write(ctx context.Context, path string, body []byte) {
	if d.dir == "" {
		return
	}
	if err := d.replace(path, body); err != nil {
		d.logger.WarnContext(ctx, "not keeping a base image's data in the cache", "file", path, "error", err)
		return
	}
	d.daily.Do(func() {
		if err := d.pruneDaily(); err != nil {
			d.logger.WarnContext(ctx, "leaving the cache of base images as it is", "error", err)
		}
	})
}

func (d *disk) replace(path string, body []byte) (err error) {
	tmp := filepath.Join(d.dir, "tmp")
	for _, dir := range []string{tmp, filepath.Dir(path)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	file, err := os.CreateTemp(tmp, "*")
	if err != nil {
		return err
	}
	_, err = io.Copy(file, bytes.NewReader(body))
	err = errors.Join(err, file.Close())
	now := d.now()
	if err == nil {
		err = os.Chtimes(file.Name(), now, now)
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// pruneDaily cleans up if no process has done so for a day.
func (d *disk) pruneDaily() error {
	stamp := filepath.Join(d.dir, "pruned")
	info, err := os.Stat(stamp)
	if err == nil && d.now().Sub(info.ModTime()) < day {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The stamp first: other processes needn't do the same.
	if err := d.replace(stamp, nil); err != nil {
		return err
	}
	return d.prune(keep)
}

// prune removes what wasn't read or written for a while.
func (d *disk) prune(olderThan time.Duration) error {
	if d.dir == "" {
		return nil
	}
	var errs []error
	for _, part := range []string{"tags", "blobs", "tmp"} {
		limit := olderThan
		if part == "tmp" {
			limit = maxUnfinished
		}
		errs = append(errs, filepath.WalkDir(filepath.Join(d.dir, part), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() {
				err = d.removeOld(path, entry, limit)
			}
			if errors.Is(err, fs.ErrNotExist) { // or another process was faster
				return nil
			}
			return err
		}))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cleaning up %s: %w", d.dir, err)
	}
	return nil
}

func (d *disk) removeOld(path string, entry fs.DirEntry, limit time.Duration) error {
	info, err := entry.Info()
	if err != nil || d.now().Sub(info.ModTime()) <= limit {
		return err
	}
	return os.Remove(path)
}

// defaultDir is where the cache is if nobody says otherwise, empty without a home.
func defaultDir() string {
	dir, err := os.UserCacheDir()
	if err != nil || strings.TrimSpace(dir) == "" {
		return ""
	}
	return filepath.Join(dir, "mabuild", "bases")
}
