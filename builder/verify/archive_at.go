package verify

import (
	"io"

	digest "github.com/opencontainers/go-digest"
)

// At returns a blob for reading from anywhere in it, nil if the archive lacks it.
func (a *Archive) At(blob digest.Digest) *io.SectionReader {
	at, ok := a.blobs[blob]
	if !ok {
		return nil
	}
	return io.NewSectionReader(a.file, at.off, at.size)
}
