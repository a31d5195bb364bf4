package foreign

import (
	"context"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/buildkit/executor"
	"github.com/moby/sys/user"
)

// hostPath is a file or directory of the host, to be mounted in a container.
type hostPath string

// Mount implements [executor.Mountable].
func (p hostPath) Mount(_ context.Context, readonly bool) (executor.MountableRef, error) {
	return hostMount{string(p), readonly}, nil
}

type hostMount struct {
	path     string
	readonly bool
}

func (m hostMount) Mount() ([]mount.Mount, func() error, error) {
	options := []string{"bind", "nosuid", "nodev"}
	if m.readonly {
		options = append(options, "ro")
	}
	return []mount.Mount{{Type: "bind", Source: m.path, Options: options}}, func() error { return nil }, nil
}

// IdentityMapping is none: the engine's containers have the ids of the engine.
func (hostMount) IdentityMapping() *user.IdentityMapping { return nil }
