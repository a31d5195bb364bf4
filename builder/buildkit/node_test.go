package buildkit_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	controlapi "github.com/moby/buildkit/api/services/control"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/buildkittest"
)

// dial connects to a scripted daemon.
func dial(t *testing.T, opts buildkittest.Options) (*buildkit.Node, *buildkittest.Server) {
	t.Helper()
	server := buildkittest.New(t, opts)
	node, err := buildkit.Dial(t.Context(), server.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close() })
	return node, server
}

func TestDial(t *testing.T) {
	node, _ := dial(t, buildkittest.Options{Platforms: []ocispec.Platform{
		{OS: "linux", Architecture: "arm64", Variant: "v8"}, {OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm"},
	}})
	want := []ocispec.Platform{
		{OS: "linux", Architecture: "arm64"}, {OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm", Variant: "v7"},
	}
	if diff := cmp.Diff(want, node.Platforms()); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[0], node.Native()); diff != "" {
		t.Errorf("native platform (-want +got):\n%s", diff)
	}
}

// deadPort returns an address where nothing listens any more.
func deadPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return "tcp://" + listener.Addr().String()
}

func TestDialFails(t *testing.T) {
	for name, test := range map[string]struct {
		address string
		want    string
	}{
		"no socket":   {"unix://" + filepath.Join(t.TempDir(), "buildkitd.sock"), "no such file or directory"},
		"no listener": {deadPort(t), "connection refused"},
		"no scheme":   {"/run/buildkit/buildkitd.sock", "missing port in address"},
		"no worker":   {buildkittest.New(t, buildkittest.Options{NoWorker: true}).Address(), "the daemon has no worker"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := buildkit.Dial(t.Context(), test.address)
			var lost *buildkit.Error
			if !errors.As(err, &lost) || lost.Kind != buildkit.NodeLost {
				t.Fatalf("error: %v", err)
			}
			for _, want := range []string{"connecting to the BuildKit daemon at " + test.address, test.want, "Check the address"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q:\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "rpc error") {
				t.Errorf("the error shows gRPC: %v", err)
			}
		})
	}
}

// A daemon that accepts and says nothing is waited for; an interrupt ends that.
func TestDialInterrupted(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupt := errors.New("interrupted")
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		if conn, err := listener.Accept(); err == nil {
			cancel(interrupt)
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	_, err = buildkit.Dial(ctx, "tcp://"+listener.Addr().String())
	<-accepted
	if err == nil || err.Error() != "interrupted" || !errors.Is(err, interrupt) {
		t.Errorf("error %v, want %v", err, interrupt)
	}
}

func TestDiskUsageAndPrune(t *testing.T) {
	used := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	node, server := dial(t, buildkittest.Options{Cache: []*controlapi.UsageRecord{
		{ID: "a", Size: 10, Description: "small"},
		{ID: "b", Size: 5 << 40, Description: "large", InUse: true, LastUsedAt: timestamppb.New(used)},
		{ID: "c", Size: 3 << 30, Description: "middle"},
	}})
	usage, err := node.DiskUsage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []buildkit.Usage{
		{Description: "large", Size: 5 << 40, InUse: true, LastUsed: used},
		{Description: "middle", Size: 3 << 30},
		{Description: "small", Size: 10},
	}
	if diff := cmp.Diff(want, usage); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
	free, err := node.Prune(t.Context(), buildkit.PruneOptions{All: true, Unused: time.Hour, Keep: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if free != 3<<30+10 {
		t.Errorf("%d bytes became free", free)
	}
	request := server.Prunes()[0]
	if !request.All || request.KeepDuration != int64(time.Hour) || request.ReservedSpace != 1<<20 {
		t.Errorf("request: %v", request)
	}
	if usage, err = node.DiskUsage(t.Context()); err != nil || len(usage) != 1 {
		t.Errorf("usage after the prune: %v, %v", usage, err)
	}
}

func TestDiskUsageAndPruneOfALostDaemon(t *testing.T) {
	node, server := dial(t, buildkittest.Options{})
	server.Kill()
	if _, err := node.DiskUsage(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "asking for the disk usage: ") {
		t.Errorf("disk usage: %v", err)
	}
	if _, err := node.Prune(t.Context(), buildkit.PruneOptions{}); err == nil || !strings.HasPrefix(err.Error(), "pruning the build cache: ") {
		t.Errorf("prune: %v", err)
	}
}
