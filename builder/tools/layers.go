package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/tools/internal/rootfs"
)

// maxFile is the size in bytes of the largest tool.
const maxFile = 200 << 20

// extracted is a file from an image.
type extracted struct {
	path string // in the image
	file string // on this machine
}

// files extracts a file for each tool.
func (f *fetcher) files(ctx context.Context, img image, wants []want) ([]extracted, error) {
	dir, err := os.MkdirTemp(f.work, "image-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the download of tools: %w", err)
	}
	options := rootfs.Options{
		Layers: len(img.layers), Dir: dir, MaxFile: maxFile,
		Open: func(ctx context.Context, n int) (io.ReadCloser, error) {
			return f.layer(ctx, img, len(img.layers)-1-n, dir)
		},
	}
	for _, w := range wants {
		options.Wanted = append(options.Wanted, w.files...)
	}
	root := rootfs.New(options)
	files := make([]extracted, len(wants))
	var lacking []string
	for i, w := range wants {
		err := rootfs.ErrNotExist
		for at := 0; at < len(w.files) && errors.Is(err, rootfs.ErrNotExist); at++ {
			files[i].path = w.files[at]
			files[i].file, err = root.Extract(ctx, w.files[at])
		}
		if errors.Is(err, rootfs.ErrNotExist) {
			lacking = append(lacking, strings.Join(w.files, " or "))
		} else if err != nil {
			return nil, err
		}
	}
	if len(lacking) > 0 {
		return nil, fmt.Errorf("%w: %s has no %s", ErrNotInImage, img.manifest, strings.Join(lacking, ", no "))
	}
	return files, nil
}

// layer opens a layer, which it downloads the first time.
func (f *fetcher) layer(ctx context.Context, img image, n int, dir string) (io.ReadCloser, error) {
	path := filepath.Join(dir, fmt.Sprintf("layer-%d", n))
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := f.download(ctx, img, img.layers[n], path); err != nil {
			return nil, err
		}
		file, err = os.Open(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a layer: %w", err)
	}
	return file, nil
}

// download writes a layer to the disk and verifies it: nothing takes apart what has
// the wrong digest.
func (f *fetcher) download(ctx context.Context, img image, desc ocispec.Descriptor, path string) (err error) {
	if err := checkLayerType(desc.MediaType); err != nil {
		return err
	}
	if desc.Size > maxLayer {
		return fmt.Errorf("the layer %s has %d bytes, more than %d", desc.Digest, desc.Size, maxLayer)
	}
	content, err := f.opts.Registry.Open(ctx, atDigest(img.ref, desc.Digest), desc)
	if err != nil {
		return err
	}
	defer content.Close()
	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("keeping a layer: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	sum := desc.Digest.Verifier()
	size, err := io.Copy(io.MultiWriter(out, sum), io.LimitReader(content, desc.Size+1))
	switch {
	case err != nil:
		return fmt.Errorf("downloading the layer %s: %w", desc.Digest, err)
	case size != desc.Size:
		return fmt.Errorf("%w: the layer %s has other than %d bytes", ErrDigest, desc.Digest, desc.Size)
	case !sum.Verified():
		return fmt.Errorf("%w: the layer %s is something else", ErrDigest, desc.Digest)
	}
	return nil
}

// checkLayerType refuses what is no layer: encrypted ones, and those whose content
// is elsewhere.
func checkLayerType(mediaType string) error {
	for _, known := range []string{ocispec.MediaTypeImageLayer, "application/vnd.docker.image.rootfs.diff.tar"} {
		switch rest, found := strings.CutPrefix(mediaType, known); {
		case !found:
		case rest == "", rest == "+gzip", rest == ".gzip", rest == "+zstd", rest == ".zstd":
			return nil
		}
	}
	return fmt.Errorf("a layer of type %.100q can't be read", mediaType)
}
