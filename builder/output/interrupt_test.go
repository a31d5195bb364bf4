package output_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/output"
)

var errInterrupt = errors.New("interrupted")

// slowRegistry takes some time for every name, in which the build is interrupted.
type slowRegistry struct {
	scripted
	takes     time.Duration
	interrupt context.CancelCauseFunc
}

func (s *slowRegistry) PushManifest(ctx context.Context, ref string, desc ocispec.Descriptor, body []byte) error {
	s.interrupt(errInterrupt)
	select {
	case <-time.After(s.takes):
		return s.scripted.PushManifest(ctx, ref, desc, body)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// An interrupt leaves all names or none, as long as the registry answers.
func TestPusherInterrupted(t *testing.T) {
	one := blob([]byte("one"))
	one.MediaType, one.Platform = ocispec.MediaTypeImageManifest, &amd64
	beginning := []string{"wait for docker.io/library/a", "fetch from a:1"}
	for name, test := range map[string]struct {
		before bool // the registry was asked to write anything
		takes  time.Duration
		want   error
		calls  []string
	}{
		"before the names": {true, 0, errInterrupt, nil},
		"at a name":        {false, time.Second, nil, []string{"push a:1", "push a:2"}},
		"at a name that the registry does not take": {false, time.Hour, errInterrupt, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, interrupt := context.WithCancelCause(t.Context())
				defer interrupt(nil)
				if test.before {
					interrupt(errInterrupt)
				}
				client := &slowRegistry{takes: test.takes, interrupt: interrupt}
				started := time.Now()
				_, err := (&output.Pusher{Registry: client, Names: []string{"a:1", "a:2"}}).Publish(ctx, []ocispec.Descriptor{one})
				if !errors.Is(err, test.want) {
					t.Errorf("error %v, want %v", err, test.want)
				}
				if took := time.Since(started); took > 5*time.Second {
					t.Errorf("it took %s", took)
				}
				if diff := cmp.Diff(append(beginning[:2:2], test.calls...), client.calls); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Joining archives of many gigabytes ends at an interrupt, too.
func TestTarsInterrupted(t *testing.T) {
	dest := t.TempDir() + "/root.tar"
	tars := &output.Tars{Dest: dest, Platforms: []ocispec.Platform{amd64, arm64}}
	if err := tars.Prepare(); err != nil {
		t.Fatal(err)
	}
	for _, platform := range tars.Platforms {
		writePart(t, tars, platform)
	}
	ctx, interrupt := context.WithCancelCause(t.Context())
	interrupt(errInterrupt)
	if _, err := tars.Publish(ctx, nil); !errors.Is(err, errInterrupt) {
		t.Errorf("error %v, want %v", err, errInterrupt)
	}
}

// A build that ends takes what it has not written to its end with it, and not what
// another one is writing.
func TestUseEndsWhatWasBegun(t *testing.T) {
	dir := t.TempDir()
	begin := func(layout *output.Layout) {
		t.Helper()
		writer, err := layout.Blobs().Writer(t.Context(), content.WithRef("layer"))
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	open := func() *output.Layout {
		t.Helper()
		layout, err := output.OpenLayout(dir)
		if err != nil {
			t.Fatal(err)
		}
		return layout
	}
	ours, other := open(), open()
	release, err := ours.Use()
	if err != nil {
		t.Fatal(err)
	}
	begin(ours)
	begin(other)
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if _, err := ours.Blobs().Status(t.Context(), "layer"); err == nil {
		t.Error("it is still there")
	}
	if _, err := other.Blobs().Status(t.Context(), "layer"); err != nil {
		t.Errorf("that of the other build: %v", err)
	}
}
