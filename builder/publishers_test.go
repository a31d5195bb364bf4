package builder_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
)

// TestPublishers publishes everywhere in order, and stops at the first that fails.
func TestPublishers(t *testing.T) {
	root := ocispec.Descriptor{Digest: digest.FromString("index")}
	nothing, store, broken, last := &publisher{}, &publisher{root: root}, &publisher{err: errors.New("503")}, &publisher{}
	got, err := builder.Publishers{nothing, store}.Publish(t.Context(), nil)
	if err != nil || got.Digest != root.Digest {
		t.Errorf("root %v, error %v", got, err)
	}
	_, err = builder.Publishers{store, broken, last}.Publish(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "complete (1 of 3)") || !errors.Is(err, broken.err) {
		t.Errorf("error %v", err)
	}
	if len(last.manifests) > 0 {
		t.Error("published after a failure")
	}
}
