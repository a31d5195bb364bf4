package verify

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/verify/internal/layer"
)

// Source opens the content of images: a registry's repository, an image store, an
// [Archive].
type Source interface {
	// Open returns a reader of desc's content, which the caller closes. The reader
	// need not verify what it reads. It is called for several at once.
	Open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error)
}

// Mode says how much is verified.
type Mode string

// The modes. The empty Mode is All.
const (
	All        Mode = "all"        // every file
	Entrypoint Mode = "entrypoint" // what starts, strict paths and assisted layers
	Off        Mode = "off"        // nothing; nothing is read
)

// ParseMode reads a mode as users write it.
func ParseMode(text string) (Mode, error) {
	switch mode := Mode(text); mode {
	case All, Entrypoint, Off:
		return mode, nil
	case "":
		return All, nil
	default:
		return "", fmt.Errorf("reading the mode of verification: %q is unknown; use all, entrypoint or off", text)
	}
}

// Limits bound what one layer may cost. Zero fields are those of real layers many
// times over; see the package's documentation.
type Limits = layer.Limits

// Layer is a layer of an image.
type Layer struct {
	Index     int // counting from 0
	Digest    digest.Digest
	DiffID    digest.Digest
	CreatedBy string // as the image's history says
}

// Options of a verification. The zero value is useful.
type Options struct {
	Mode Mode
	// Ignore are globs of paths that may hold anything, in addition to those of
	// [DefaultIgnore]. They win over everything, also over Strict.
	Ignore []string
	// Strict are globs of paths whose files have to belong to the platform, because
	// they were copied from a stage that was made to run on another one.
	Strict []string
	// Assisted tells whether a step wrote the layer that had native tools of
	// BuildPlatform at hand, none of which may be left there. Nil: none did.
	Assisted func(platform ocispec.Platform, l Layer) bool
	// BuildPlatform is that of the tools of assisted steps.
	BuildPlatform ocispec.Platform
	// CacheDir remembers what layers hold; see [DefaultCacheDir]. Empty: no cache.
	CacheDir string
	// Parallel is how many layers are read at once. Default: GOMAXPROCS.
	Parallel int
	Limits   Limits
	// Logger gets what goes wrong with the cache. Default: none.
	Logger *slog.Logger
}

// DefaultCacheDir returns the directory of the caller's cache:
// $XDG_CACHE_HOME/mabuild/verify, by default ~/.cache/mabuild/verify.
func DefaultCacheDir() (string, error) {
	base := os.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(base) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("finding a place for the cache of layers: %w", err)
		}
		base = filepath.Join(home, ".cache")
	}
	return filepath.Join(base, "mabuild", "verify"), nil
}

// settings are options with their defaults and parsed globs.
type settings struct {
	Options
	cache          *cache
	reader         *layer.Reader
	slots          chan struct{} // one for each layer that is being read
	ignore, strict globs
	forgiven       globs
}

func newSettings(opts Options) (*settings, error) {
	mode, err := ParseMode(string(opts.Mode))
	if err != nil {
		return nil, err
	}
	opts.Mode = mode
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Parallel <= 0 {
		opts.Parallel = runtime.GOMAXPROCS(0)
	}
	defaults := layer.DefaultLimits()
	for _, limit := range []struct{ have, usual *int }{
		{&opts.Limits.Entries, &defaults.Entries}, {&opts.Limits.Records, &defaults.Records},
	} {
		if *limit.have <= 0 {
			*limit.have = *limit.usual
		}
	}
	for _, limit := range []struct{ have, usual *int64 }{
		{&opts.Limits.Ratio, &defaults.Ratio}, {&opts.Limits.Free, &defaults.Free},
	} {
		if *limit.have <= 0 {
			*limit.have = *limit.usual
		}
	}
	s := &settings{Options: opts, reader: &layer.Reader{Limits: opts.Limits}, slots: make(chan struct{}, opts.Parallel)}
	if opts.CacheDir != "" {
		s.cache = &cache{dir: opts.CacheDir, logger: opts.Logger}
	}
	for _, list := range []struct {
		into     *globs
		patterns []string
	}{{&s.ignore, opts.Ignore}, {&s.strict, opts.Strict}, {&s.forgiven, DefaultIgnore()}} {
		if *list.into, err = parseGlobs(list.patterns); err != nil {
			return nil, err
		}
	}
	return s, nil
}
