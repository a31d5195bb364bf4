package emulation

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// initialUserNamespace is the link of the namespace that Linux boots with
// (PROC_USER_INIT_INO).
const initialUserNamespace = "user:[4026531837]"

// MountPrivate mounts the binfmt_misc instance of the caller's user namespace
// on dir; "" means [DefaultDir]. The first mount in a user namespace makes a
// fresh instance with no handlers, which from then on stands in for the one of
// the parent namespace for every process of this namespace and those below.
// The instance lives as long as it is mounted somewhere.
//
// The caller needs CAP_SYS_ADMIN in a user namespace other than the initial
// one, and a mount namespace that was made in it. Errors are [ErrUnsupported]
// for a kernel before 6.7 or without binfmt_misc, [ErrPermission],
// [ErrExists] if the instance is mounted on dir already, and [ErrInvalid] in
// the initial user namespace, whose instance is the host's.
func MountPrivate(dir string) error {
	if dir == "" {
		dir = DefaultDir
	}
	op := "mounting a private binfmt_misc on " + dir
	namespaced, err := InUserNamespace()
	if err != nil {
		return &Error{Op: op, Err: err, Hint: "mount /proc first"}
	}
	if !namespaced {
		return &Error{
			Op:   op,
			Err:  invalid("this is the initial user namespace, whose handlers are those of the host"),
			Hint: "start the process in a user namespace of its own",
		}
	}
	err = unix.Mount("binfmt_misc", dir, "binfmt_misc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if err != nil {
		return mountError(op, err, KernelRelease())
	}
	return nil
}

// InUserNamespace reports whether the calling process is in a user namespace other
// than the one that Linux boots with, so that its root is not the machine's.
func InUserNamespace() (bool, error) {
	namespace, err := os.Readlink("/proc/self/ns/user")
	return namespace != initialUserNamespace, err
}

// MountHost mounts binfmt_misc on dir where it is not mounted; "" means
// [DefaultDir]. It takes root. The handlers that show up are those that apply to
// the caller already, mounted or not. Errors are [ErrPermission], [ErrExists] if
// it is mounted there and [ErrUnsupported] if the kernel has no binfmt_misc.
func MountHost(dir string) error {
	if dir == "" {
		dir = DefaultDir
	}
	err := unix.Mount("binfmt_misc", dir, "binfmt_misc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	op := "mounting binfmt_misc on " + dir
	if errors.Is(err, unix.EPERM) {
		return &Error{Op: op, Err: fmt.Errorf("%w: %w", ErrPermission, err), Hint: "run the command as root"}
	}
	if err != nil {
		return mountError(op, err, "")
	}
	return nil
}

// mountedReadOnly reports whether the file system at dir refuses writes from
// everybody.
func mountedReadOnly(dir string) bool {
	var info unix.Statfs_t
	return unix.Statfs(dir, &info) == nil && info.Flags&unix.ST_RDONLY != 0
}

func mountError(op string, err error, release string) error {
	e := &Error{Op: op, Err: err}
	switch {
	case errors.Is(err, unix.EPERM) && !kernelAtLeast(release, 6, 7):
		e.Err = fmt.Errorf("%w by Linux %s, only from 6.7 on: %w", ErrUnsupported, release, err)
		e.Hint = "run a newer kernel, or register the handlers on the host as root"
	case errors.Is(err, unix.EPERM):
		e.Err = fmt.Errorf("%w: %w", ErrPermission, err)
		e.Hint = "start the process in a user and a mount namespace of its own, and allow user namespaces: " +
			"run `sysctl kernel.apparmor_restrict_unprivileged_userns=0` as root on Ubuntu"
	case errors.Is(err, unix.ENODEV):
		e.Err = fmt.Errorf("%w: the kernel has no binfmt_misc: %w", ErrUnsupported, err)
		e.Hint = "run `modprobe binfmt_misc` as root"
	case errors.Is(err, unix.ENOENT):
		e.Err = fmt.Errorf("%w: there is no such directory: %w", ErrUnsupported, err)
		e.Hint = "run `modprobe binfmt_misc` as root, which makes it"
	case errors.Is(err, unix.EBUSY):
		e.Err = fmt.Errorf("%w: the instance of this user namespace is mounted there: %w", ErrExists, err)
		e.Hint = "open it instead of mounting it"
	}
	return e
}

// KernelRelease returns what uname -r prints, or "".
func KernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// kernelArchitecture returns the kernel's own idea of the machine, or "" before
// Linux 6.1. Unlike uname(2), QEMU hands this file through unchanged.
func kernelArchitecture() string {
	text, err := os.ReadFile("/proc/sys/kernel/arch")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(text))
}
