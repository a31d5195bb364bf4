package verify

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Archive is a tar archive with an OCI image layout, as mabuild, buildx, skopeo and
// docker save (25 and later) write it. It is read in place and is a [Source].
type Archive struct {
	file  *os.File
	blobs map[digest.Digest]extent
	// Images are the images and indexes that the archive's index.json names.
	Images []ocispec.Descriptor
}

// extent is where a blob is in the file.
type extent struct{ off, size int64 }

// maxBlobs is far more than archives have.
const maxBlobs = 100_000

// OpenArchive opens an archive. The caller closes it.
func OpenArchive(name string) (_ *Archive, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	a := &Archive{file: file, blobs: map[digest.Digest]extent{}}
	defer func() {
		if err != nil {
			_ = file.Close()
			err = fmt.Errorf("opening the archive %s: %w", name, err)
		}
	}()
	body, err := a.scan()
	if err != nil {
		return nil, err
	}
	if body == nil {
		return nil, fmt.Errorf("%w: there is no index.json in it; make it with -o type=oci, or docker save of Docker 25 or later, and do not compress it", ErrFormat)
	}
	var list ocispec.Index
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("%w: reading index.json: %w", ErrFormat, err)
	}
	a.Images = list.Manifests
	return a, nil
}

// scan notes where the blobs are and returns index.json.
func (a *Archive) scan() (body []byte, err error) {
	files := tar.NewReader(a.file)
	for {
		hdr, err := files.Next()
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		name := path.Clean(hdr.Name)
		if hdr.Typeflag != tar.TypeReg {
			continue
		}
		if name == ocispec.ImageIndexFile {
			if body, err = io.ReadAll(io.LimitReader(files, maxDocument)); err != nil {
				return nil, fmt.Errorf("%w: reading index.json: %w", ErrFormat, err)
			}
			continue
		}
		parts := strings.Split(name, "/")
		if len(parts) != 3 || parts[0] != ocispec.ImageBlobsDir {
			continue
		}
		off, err := a.file.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if a.blobs[digest.NewDigestFromEncoded(digest.Algorithm(parts[1]), parts[2])] = (extent{off, hdr.Size}); len(a.blobs) > maxBlobs {
			return nil, fmt.Errorf("%w: more than %d blobs", ErrLimit, maxBlobs)
		}
	}
}

// Open returns a blob's content.
func (a *Archive) Open(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	at, ok := a.blobs[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("reading %s from the archive: %w", desc.Digest, fs.ErrNotExist)
	}
	return io.NopCloser(io.NewSectionReader(a.file, at.off, at.size)), nil
}

// Close closes the archive's file.
func (a *Archive) Close() error { return a.file.Close() }
