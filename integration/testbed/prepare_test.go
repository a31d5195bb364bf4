package testbed_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/integration/testbed"
	"github.com/mabuild/mabuild/integration/testbed/imagestore"
)

// tiny makes an image of one file.
func tiny(ctx context.Context, store imagestore.Store) ([]ocispec.Descriptor, error) {
	layer, err := store.PutLayer(ctx, "library/tiny", "a test", []imagestore.Entry{imagestore.Dir("etc", 0o755)})
	if err != nil {
		return nil, err
	}
	desc, err := store.PutImage(ctx, "library/tiny", imagestore.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		Layers:   []imagestore.Layer{layer},
	})
	return []ocispec.Descriptor{desc}, err
}

// checkTiny pulls the image from the storage.
func checkTiny(t *testing.T, root string) {
	t.Helper()
	registry := start(t, testbed.RegistryOptions{Root: root, ReadOnly: true})
	if err := pull(t, registry, "library/tiny:latest"); err != nil {
		t.Error(err)
	}
}

func TestPrepareOnce(t *testing.T) {
	cache := t.TempDir()
	var builds atomic.Int32
	build := func(ctx context.Context, store imagestore.Store) ([]ocispec.Descriptor, error) {
		builds.Add(1)
		return tiny(ctx, store)
	}
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			if _, err := testbed.PrepareWith(t.Context(), cache, "1", build); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	root, err := testbed.PrepareWith(t.Context(), cache, "1", build)
	if err != nil {
		t.Fatal(err)
	}
	if got := builds.Load(); got != 1 {
		t.Errorf("five callers built the image %d times", got)
	}
	checkTiny(t, root)
	if left, err := testbed.WorkFolders(cache); err != nil || len(left) > 0 {
		t.Errorf("the work folders %v are left (%v)", left, err)
	}
}

func TestPrepareAgainForAnotherRecipe(t *testing.T) {
	cache := t.TempDir()
	builds := 0
	for _, version := range []string{"1", "2", "2", "1"} {
		if _, err := testbed.PrepareWith(t.Context(), cache, version, func(ctx context.Context, store imagestore.Store) ([]ocispec.Descriptor, error) {
			builds++
			return tiny(ctx, store)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if builds != 3 {
		t.Errorf("three changes of the recipe made %d builds", builds)
	}
}

// A run that ends in the middle must not be taken for a whole one, and what it
// left must not be in the way.
func TestPrepareAfterAnInterruptedRun(t *testing.T) {
	cache := t.TempDir()
	broken := errors.New("the machine is on fire")
	_, err := testbed.PrepareWith(t.Context(), cache, "1", func(ctx context.Context, store imagestore.Store) ([]ocispec.Descriptor, error) {
		if _, err := tiny(ctx, store); err != nil {
			return nil, err
		}
		return nil, broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("got the error %v, want the recipe's", err)
	}
	root, err := testbed.PrepareWith(t.Context(), cache, "1", tiny)
	if err != nil {
		t.Fatal(err)
	}
	checkTiny(t, root)
}

func TestPrepareStopsWaiting(t *testing.T) {
	cache := t.TempDir()
	building, leave, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := testbed.PrepareWith(t.Context(), cache, "1", func(ctx context.Context, store imagestore.Store) ([]ocispec.Descriptor, error) {
			close(building)
			<-leave
			return tiny(ctx, store)
		})
		done <- err
	}()
	<-building
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the user had enough"))
	if _, err := testbed.PrepareWith(ctx, cache, "1", tiny); !errors.Is(err, context.Canceled) {
		t.Errorf("got the error %v, want that of the context", err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestPrepareUnknownImage(t *testing.T) {
	_, err := testbed.Prepare(t.Context(), testbed.Options{Cache: t.TempDir(), Images: []string{"alpine"}})
	if err == nil || !strings.Contains(err.Error(), `"alpine"`) || !strings.Contains(err.Error(), testbed.Golang) {
		t.Errorf("got the error %v, want one that lists the images", err)
	}
}
