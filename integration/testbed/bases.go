package testbed

import "context"

// Bases prepares the base images and serves them, read-only, as docker.io's mirror
// does: busybox is library/busybox. The caller closes the registry.
func Bases(ctx context.Context, opts Options) (*Registry, error) {
	root, err := Prepare(ctx, opts)
	if err != nil {
		return nil, err
	}
	return NewRegistry(RegistryOptions{Root: root, ReadOnly: true, Logger: opts.Logger})
}
