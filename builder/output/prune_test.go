package output_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/output"
)

// size is the sum of the blobs' sizes, and their number.
func size(t *testing.T, layout *output.Layout) (bytes int64, count int) {
	t.Helper()
	err := layout.Blobs().Walk(t.Context(), func(info content.Info) error {
		bytes += info.Size
		count++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes, count
}

// keep puts an index of two platforms into the layout.
func keep(t *testing.T, layout *output.Layout, names ...string) ocispec.Descriptor {
	t.Helper()
	keeper := &output.Keeper{Layout: layout, Names: names}
	root, err := keeper.Publish(t.Context(), []ocispec.Descriptor{putImage(t, layout, amd64), putImage(t, layout, arm64)})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestPrune(t *testing.T) {
	const perIndex = 1 + 2*(1+1+2) // itself, and manifests, configs, layers of two platforms
	for name, test := range map[string]struct {
		unnamed bool
		prepare func(*output.Layout)
		left    int // blobs
		entries int
	}{
		"nothing":       {prepare: func(*output.Layout) {}},
		"nothing to do": {prepare: func(l *output.Layout) { keep(t, l, "app") }, left: perIndex, entries: 1},
		"a name that moved": {
			prepare: func(l *output.Layout) { keep(t, l, "app"); keep(t, l, "app") }, left: perIndex, entries: 1,
		},
		"one of two names": {
			prepare: func(l *output.Layout) {
				keep(t, l, "app", "other")
				if err := l.Remove(t.Context(), "app"); err != nil {
					t.Error(err)
				}
			},
			left: perIndex, entries: 1,
		},
		"unnamed stay":    {prepare: func(l *output.Layout) { keep(t, l); keep(t, l, "app") }, left: 2 * perIndex, entries: 2},
		"unnamed go":      {unnamed: true, prepare: func(l *output.Layout) { keep(t, l); keep(t, l, "app") }, left: perIndex, entries: 1},
		"single image":    {prepare: func(l *output.Layout) { putImage(t, l, amd64); add(t, l, "x", "app") }, left: 1, entries: 1},
		"nothing unnamed": {unnamed: true, prepare: func(*output.Layout) {}},
		"content of its own": {
			prepare: func(l *output.Layout) { putImage(t, l, amd64) }, left: 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			layout := open(t)
			test.prepare(layout)
			before, _ := size(t, layout)
			freed, err := layout.Prune(t.Context(), test.unnamed)
			if err != nil {
				t.Fatal(err)
			}
			after, count := size(t, layout)
			if before-after != freed || count != test.left {
				t.Errorf("%d blobs are left, want %d; %d bytes of %d are said to be free", count, test.left, freed, before-after)
			}
			if entries := listedNames(t, layout); len(entries) != test.entries {
				t.Errorf("entries: %q", entries)
			}
			if freed, err = layout.Prune(t.Context(), test.unnamed); freed != 0 || err != nil {
				t.Errorf("the second time %d bytes, %v", freed, err)
			}
		})
	}
}

func listedNames(t *testing.T, layout *output.Layout) []string {
	t.Helper()
	entries, err := layout.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names
}

// What is reached in several ways is kept as long as one of them is left, whatever
// the kind of the way.
func TestPruneFollowsAllWays(t *testing.T) {
	layout := open(t)
	image := putImage(t, layout, amd64)
	other := putImage(t, layout, arm64)
	joined, body, err := index.Join([]ocispec.Descriptor{image, other}, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, layout, joined, body)
	if err := errors.Join(layout.Add(joined, "both"), layout.Add(image, "one")); err != nil {
		t.Fatal(err)
	}
	prune := func(wantFreed bool, wantLeft int) {
		t.Helper()
		freed, err := layout.Prune(t.Context(), false)
		if _, count := size(t, layout); (freed > 0) != wantFreed || count != wantLeft || err != nil {
			t.Errorf("%d blobs are left, want %d; %d bytes are free, %v", count, wantLeft, freed, err)
		}
	}
	prune(false, 9)
	if err := layout.Remove(t.Context(), "both"); err != nil {
		t.Fatal(err)
	}
	prune(true, 4)
	if err := layout.Remove(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	prune(true, 0)
}

// An image of which a part is missing keeps the rest.
func TestPruneOfAnIncompleteImage(t *testing.T) {
	layout := open(t)
	image := putImage(t, layout, amd64)
	absent := blob([]byte("absent"))
	absent.MediaType, absent.Platform = ocispec.MediaTypeImageManifest, &arm64
	joined, body, err := index.Join([]ocispec.Descriptor{image, absent}, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, layout, joined, body)
	if err := layout.Add(joined, "app"); err != nil {
		t.Fatal(err)
	}
	freed, err := layout.Prune(t.Context(), false)
	if _, count := size(t, layout); freed != 0 || count != 5 || err != nil {
		t.Errorf("%d blobs are left; %d bytes are free, %v", count, freed, err)
	}
}

func TestPruneWaitsForNoBuild(t *testing.T) {
	dir := t.TempDir()
	layout, err := output.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	first, err1 := layout.Use()
	second, err2 := layout.Use() // builds do not exclude each other
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	image := putImage(t, layout, amd64)
	other, err := output.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, release := range []func() error{first, second} {
		if _, err := other.Prune(t.Context(), true); !errors.Is(err, output.ErrInUse) {
			t.Errorf("pruned during a build: %v", err)
		}
		if _, count := size(t, layout); count != 4 {
			t.Errorf("%d blobs of %s are left", count, image.Digest)
		}
		if err := release(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Prune(t.Context(), true); err != nil {
		t.Error(err)
	}
	if _, count := size(t, layout); count != 0 {
		t.Errorf("%d blobs are left", count)
	}
}

// What killed processes were writing is in nobody's way and goes with a prune.
func TestPruneOfUnfinishedFiles(t *testing.T) {
	dir := t.TempDir()
	layout, err := output.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("a layer, of which the beginning was written")
	writer, err := layout.Blobs().Writer(t.Context(), content.WithRef("layer"), content.WithDescriptor(blob(body)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write(body[:7]); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, "index.json.123.tmp")
	if err := os.WriteFile(half, []byte(`{"schemaVersion":2,"mani`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "ingest", "killed-at-once"), 0o755); err != nil {
		t.Fatal(err)
	}
	// Another process starts the layer anew.
	other, err := output.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	put(t, other, blob(body), body)
	if err := other.Add(blob(body), "app"); err != nil {
		t.Fatal(err)
	}
	freed, err := other.Prune(t.Context(), false)
	if freed != 7 || err != nil {
		t.Errorf("%d bytes are free, %v", freed, err)
	}
	var left []string
	for _, pattern := range []string{"*", "ingest/*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			name, _ := filepath.Rel(dir, file)
			left = append(left, name)
		}
	}
	slices.Sort(left)
	if diff := cmp.Diff([]string{"blobs", "index.json", "index.json.lock", "ingest", "oci-layout", "use.lock"}, left); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"docker.io/library/app:latest " + string(body)}, listed(t, layout)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	// The directory of unfinished blobs is still there for the next one.
	put(t, layout, blob([]byte("next")), []byte("next"))
}

// The store behind a layout can be asked about what it is writing.
func TestBlobsInProgress(t *testing.T) {
	layout := open(t)
	store := layout.Blobs()
	writer, err := store.Writer(t.Context(), content.WithRef("layer"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	status, err := store.Status(t.Context(), "layer")
	if err != nil || status.Ref != "layer" || status.Offset != 3 {
		t.Errorf("status %+v, error %v", status, err)
	}
	if err := errors.Join(writer.Close(), store.Abort(t.Context(), "layer")); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Status(context.Background(), "layer"); err == nil {
		t.Error("it is still written")
	}
	if _, err := store.Writer(t.Context()); err == nil {
		t.Error("something without a reference is written")
	}
}
