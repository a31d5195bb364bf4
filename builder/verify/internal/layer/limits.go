package layer

import (
	"errors"
	"fmt"
)

// Errors of layers, beside those of the blob's reader.
var (
	// ErrLimit says that a layer wants more time or memory than any real one.
	ErrLimit = errors.New("beyond the limits of a layer")
	// ErrDigest says that the content is not what its digest or size says.
	ErrDigest = errors.New("content does not match its digest")
	// ErrFormat says that the content is no archive of files.
	ErrFormat = errors.New("not a valid layer")
)

// Limits of an image.
type Limits struct {
	// Entries is how many files, directories and links its layers may have in all.
	Entries int
	// Records is how many of them may be programs, scripts and links.
	Records int
	// Ratio and Free bound how far one layer inflates: Free bytes and Ratio times its
	// compressed size. The archives in it may inflate as far again in all.
	Ratio, Free int64
}

// DefaultLimits are far beyond real layers. The largest public images have
// about a million files and inflate to five times their size.
func DefaultLimits() Limits {
	return Limits{Entries: 2_000_000, Records: 300_000, Ratio: 64, Free: 1 << 30}
}

// inflated is how many bytes a blob of size bytes may become.
func (l Limits) inflated(size int64) int64 {
	const most = 1 << 50
	if size < 0 || size > most/max(l.Ratio, 1) {
		return most
	}
	return l.Free + size*l.Ratio
}

const (
	maxPath  = 4096 // PATH_MAX
	maxDepth = 256
	// maxText bounds what is kept of a link's target or a script.
	maxText = maxPath
	// maxRecordBytes bounds the records of one layer.
	maxRecordBytes = 24 << 20
	// Decoders of zstd need the window that the encoder chose. Beyond smallWindow
	// one layer is decoded at a time. The command line tool's highest levels
	// choose more than maxWindow.
	smallWindow = 8 << 20
	maxWindow   = 16 << 20
)

func limitf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrLimit, fmt.Sprintf(format, args...))
}
