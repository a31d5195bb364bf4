package debian

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/integration/testbed/command"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// bootstrap runs in namespaces of its own. A new /proc belongs to the new process
// ids, and an instance of binfmt_misc mounted by the owner of a user namespace is
// this namespace's alone (Linux 6.7). The variable "container" lets debootstrap do
// without device nodes, which a user namespace can't make.
const bootstrap = `set -eu
mount --make-rslave /
mount -t proc proc /proc || true
if [ -n "$HANDLER" ]; then
	mkdir -p "$WORK/binfmt"
	mount -t binfmt_misc binfmt_misc "$WORK/binfmt" || {
		echo "the kernel has no binfmt_misc for a user namespace: Linux 6.7 or later is needed" >&2
		exit 1
	}
	printf %s "$HANDLER" >"$WORK/binfmt/register"
fi
container=lxc debootstrap --variant=minbase --arch="$ARCH" --force-check-gpg --keyring="$KEYRING" "$SUITE" "$ROOT" "$MIRROR" || {
	status=$?
	tail -n 40 "$ROOT/debootstrap/debootstrap.log" >&2 || true
	exit "$status"
}
`

// Bootstrap makes a minimal Debian of suite for platform in the folder root, in namespaces
// of its own: it needs root, but mounts nothing that is seen outside. Foreign
// programs run under QEMU, from a private instance of binfmt_misc (Linux 6.7).
func Bootstrap(ctx context.Context, root, mirror, suite, architecture string, platform ocispec.Platform) error {
	if err := command.Need("debootstrap"); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("running debootstrap: it works as root only: run this as root once, or do with the image busybox")
	}

	handler := ""
	if platform.Architecture != runtime.GOARCH {
		arch, err := emulation.Lookup(platform)
		if err != nil {
			return err
		}
		qemu, err := arch.FindQEMU()
		if err != nil {
			return err
		}
		if handler, err = arch.Handler(qemu).Registration(); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", bootstrap)
	command.Sandbox(cmd)
	cmd.Dir = filepath.Dir(root)
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root",
		"HANDLER=" + handler, "WORK=" + root + ".tmp", "ARCH=" + architecture, "KEYRING=" + keyring,
		"SUITE=" + suite, "ROOT=" + root, "MIRROR=" + mirror,
	}
	if architecture == "arm64" {
		// From trixie on programs sign every return address. With the standard's cipher,
		// which QEMU 7 uses unless it is told, that takes longer than all the rest.
		cmd.Env = append(cmd.Env, "QEMU_CPU=max,pauth-impdef=on")
	}
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy"} {
		if value := os.Getenv(name); value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	return command.Run(ctx, cmd)
}
