package verify

import (
	"errors"
	"fmt"

	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/verify/internal/layer"
)

// Errors of images that cannot be verified, beside those of the [Source].
var (
	// ErrLimit: a layer wants more time or memory than real ones do.
	ErrLimit = layer.ErrLimit
	// ErrDigest: the content is not what its digest or its size says.
	ErrDigest = layer.ErrDigest
	// ErrFormat: the content is no layer of files.
	ErrFormat = layer.ErrFormat
	// ErrManifest: it is no manifest of an image, or none that agrees with its
	// config.
	ErrManifest = errors.New("not a valid image")
)

// ImageError says which image, and which layer of it, could not be verified.
type ImageError struct {
	Platform string // empty if it is not known
	// Layer is the layer's number, counting from 1; 0 if it is about none.
	Layer  int
	Digest digest.Digest // of the layer, or else of the manifest
	Err    error
}

func (e *ImageError) Error() string {
	what := "the image"
	if e.Platform != "" {
		what += " for " + e.Platform
	}
	if e.Layer > 0 {
		what += fmt.Sprintf(", layer %d", e.Layer)
	}
	text := fmt.Sprintf("verifying %s (%s): %v", what, e.Digest, e.Err)
	switch {
	case errors.Is(e.Err, ErrLimit):
		text += "; if the image is meant to be like that, publish it with --verify=off"
	case errors.Is(e.Err, ErrDigest):
		text += "; the content was damaged on its way or in its store: build or pull the image again"
	}
	return text
}

func (e *ImageError) Unwrap() error { return e.Err }
