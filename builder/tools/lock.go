package tools

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
)

// LockFile is the name of the lock file in the cache.
const LockFile = "tools.lock.json"

const (
	lockVersion = 1
	maxLock     = 1 << 20 // of bytes
)

// toolName is what a tool may be called: it becomes the name of a file.
var toolName = regexp.MustCompile(`^(?:runc|qemu-[a-z0-9_]{1,32})$`)

// lock is the content of a lock file.
type lock struct {
	Version int           `json:"version"`
	Images  []lockedImage `json:"images"`
}

// lockedImage says which image a reference means on a platform.
type lockedImage struct {
	Reference string        `json:"reference"`
	Platform  string        `json:"platform"`
	Index     digest.Digest `json:"index,omitempty"` // none if the reference names a manifest
	Manifest  digest.Digest `json:"manifest"`
	Locked    time.Time     `json:"locked"`
	Files     []lockedFile  `json:"files"`
}

// lockedFile is a tool that was taken from an image.
type lockedFile struct {
	Name   string        `json:"name"`
	Path   string        `json:"path"` // in the image
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
}

// parseLock reads a lock file. It refuses what [lock.encode] doesn't write.
func parseLock(text []byte) (lock, error) {
	var l lock
	if len(text) > maxLock {
		return l, fmt.Errorf("%w: it has more than %d bytes", ErrLock, maxLock)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return l, fmt.Errorf("%w: %w", ErrLock, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return l, fmt.Errorf("%w: something follows its end", ErrLock)
	}
	if err := l.check(); err != nil {
		return l, fmt.Errorf("%w: %w", ErrLock, err)
	}
	return l, nil
}

func (l lock) encode() ([]byte, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(l, "", "  ")
	return append(text, '\n'), err
}

func (l lock) check() error {
	if l.Version != lockVersion {
		return fmt.Errorf("its version is %d, not %d", l.Version, lockVersion)
	}
	for i, image := range l.Images {
		if err := image.check(); err != nil {
			return fmt.Errorf("image %d: %w", i+1, err)
		}
		if first, _ := l.image(image.Reference, image.Platform); first != i {
			return fmt.Errorf("image %d: %s for %s is there twice", i+1, image.Reference, image.Platform)
		}
	}
	return nil
}

func (i lockedImage) check() error {
	if ref, err := normalize(i.Reference); err != nil || ref != i.Reference {
		return fmt.Errorf("%.100q is not a whole reference", i.Reference)
	}
	if platform, err := platforms.Parse(i.Platform); err != nil || platforms.Format(platform) != i.Platform {
		return fmt.Errorf("%.100q is not a whole platform", i.Platform)
	}
	if err := checkDigest(i.Manifest); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if i.Index != "" {
		if err := checkDigest(i.Index); err != nil {
			return fmt.Errorf("index: %w", err)
		}
	}
	for at, file := range i.Files {
		if err := file.check(); err != nil {
			return fmt.Errorf("file %d: %w", at+1, err)
		}
		if slices.IndexFunc(i.Files, func(f lockedFile) bool { return f.Name == file.Name }) != at {
			return fmt.Errorf("file %d: %s is there twice", at+1, file.Name)
		}
	}
	return nil
}

func (f lockedFile) check() error {
	switch {
	case !toolName.MatchString(f.Name):
		return fmt.Errorf("%.100q is not a tool", f.Name)
	case !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path:
		return fmt.Errorf("%.100q is not a whole path", f.Path)
	case f.Size <= 0 || f.Size > maxFile:
		return fmt.Errorf("%d is not the size of a tool", f.Size)
	}
	return checkDigest(f.Digest)
}

// checkDigest accepts digests that can be the name of a folder.
func checkDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %.100q: %w", string(d), err)
	}
	return nil
}

// image returns the entry of a reference and its place, -1 if there is none.
func (l lock) image(ref, platform string) (int, lockedImage) {
	at := slices.IndexFunc(l.Images, func(i lockedImage) bool { return i.Reference == ref && i.Platform == platform })
	if at < 0 {
		return at, lockedImage{}
	}
	return at, l.Images[at]
}

func (i lockedImage) file(name string) (lockedFile, bool) {
	at := slices.IndexFunc(i.Files, func(f lockedFile) bool { return f.Name == name })
	if at < 0 {
		return lockedFile{}, false
	}
	return i.Files[at], true
}

// with returns the lock with another image entry, in a fixed order.
func (l lock) with(image lockedImage) lock {
	images := slices.Clone(l.Images)
	if at, _ := l.image(image.Reference, image.Platform); at >= 0 {
		images[at] = image
	} else {
		images = append(images, image)
	}
	return lock{Version: lockVersion, Images: images}
}

// with returns the image entry with another file.
func (i lockedImage) with(file lockedFile) lockedImage {
	i.Files = append(slices.DeleteFunc(slices.Clone(i.Files), func(f lockedFile) bool { return f.Name == file.Name }), file)
	slices.SortFunc(i.Files, func(a, b lockedFile) int { return strings.Compare(a.Name, b.Name) })
	return i
}
