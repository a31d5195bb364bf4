package foreign

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/buildkit/executor"
)

// rootfs is the root file system of a step as the engine sees it.
type rootfs struct {
	dir string // the whole
	// upper is what the step has changed; empty where the snapshotter copies whole
	// file systems.
	upper   string
	release func() error
}

// errPlain says why a step has to be left alone. It is no failure.
var errPlain = errors.New("left as it is")

// openRootfs holds the file system until it is released. BuildKit shares one overlay
// among everybody who mounts a step's root, and hands out binds of it.
func openRootfs(ctx context.Context, root executor.Mount) (_ *rootfs, err error) {
	if root.Readonly || root.Selector != "" && root.Selector != "/" {
		return nil, fmt.Errorf("%w: its root file system is read-only or a part of another", errPlain)
	}
	mountable, err := root.Src.Mount(ctx, false)
	if err != nil {
		return nil, err
	}
	mounts, release, err := mountable.Mount()
	if err != nil {
		return nil, err
	}
	if release == nil {
		release = func() error { return nil }
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, release())
		}
	}()
	if len(mounts) != 1 || !isBind(mounts[0]) {
		return nil, fmt.Errorf("%w: its root file system is not one directory", errPlain)
	}
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	dir := mounts[0].Source
	return &rootfs{dir: dir, upper: upperDir(mountinfo, dir), release: release}, nil
}

func isBind(m mount.Mount) bool { return m.Type == "bind" || m.Type == "rbind" }

// prepare makes sure that there is a /dev. The runtime would make it, with the same
// mode, for its own mounts; but BuildKit removes from a layer what it takes for mount
// points of the step's mounts, with their parents: a /dev that it sees before the step
// runs is none.
func (r *rootfs) prepare() error {
	dev := filepath.Join(r.dir, "dev")
	info, err := os.Lstat(dev)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.Mkdir(dev, 0o755)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%w: its /dev is no directory", errPlain)
	}
	return nil
}
