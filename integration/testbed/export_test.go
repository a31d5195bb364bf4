package testbed

import (
	"context"
	"log/slog"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/integration/testbed/imagestore"
)

// What tests of the parts need.
var (
	BusyboxApplets   = busyboxApplets
	BusyboxEntries   = busyboxEntries
	ToolchainEntries = toolchainEntries
	GoVersion        = goVersion
	LeftOut          = leftOut
	Undated          = undated
	JavaVersion      = javaVersion
	JavaEntries      = javaEntries
	UnpackedEntries  = unpackedEntries
)

// PrepareWith is Prepare with one recipe of the test's own, for tiny:latest.
func PrepareWith(ctx context.Context, cache, version string, build func(context.Context, imagestore.Store) ([]ocispec.Descriptor, error)) (string, error) {
	b, err := newBench(ctx, Options{Cache: cache, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	return b.root, b.ensure(ctx, []recipe{{
		name: "tiny", repository: "library/tiny", tags: []string{"latest"}, key: key(version),
		build: func(ctx context.Context) ([]ocispec.Descriptor, error) { return build(ctx, b.store) },
	}})
}

// WorkFolders returns the folders of runs that are at work or were killed.
func WorkFolders(cache string) ([]string, error) {
	return filepath.Glob(filepath.Join(cache, layout, "work-*"))
}
