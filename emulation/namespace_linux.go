package emulation

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// StartInNamespace starts the command in a user and a mount namespace of its
// own, where it is root and can call [EnterNamespace]. Wait for it as after
// [exec.Cmd.Start].
//
// Started by root, it has all ids that the caller has; started by an ordinary
// user, only that user, as root. The rest of cmd.SysProcAttr stays as it is.
// Errors are [ErrUnsupported] for a kernel before 6.7, whose namespaces cannot
// have a binfmt_misc of their own, and [ErrPermission] where user namespaces are
// forbidden.
func StartInNamespace(cmd *exec.Cmd) error {
	const op = "starting a process in a user namespace of its own"
	if release := KernelRelease(); !kernelAtLeast(release, 6, 7) {
		return &Error{
			Op:   op,
			Err:  fmt.Errorf("%w: Linux %s has no binfmt_misc in user namespaces, only 6.7 and later", ErrUnsupported, release),
			Hint: "run a newer kernel, or use the handlers of the host",
		}
	}
	if err := mapIDs(cmd); err != nil {
		return &Error{Op: op, Err: err}
	}
	if err := cmd.Start(); err != nil {
		return namespaceError(op, err)
	}
	return nil
}

func mapIDs(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	attributes := cmd.SysProcAttr
	attributes.Cloneflags |= syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
	if os.Geteuid() != 0 {
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
		return nil
	}
	for file, ids := range map[string]*[]syscall.SysProcIDMap{
		"/proc/self/uid_map": &attributes.UidMappings,
		"/proc/self/gid_map": &attributes.GidMappings,
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if *ids, err = parseIDMap(text); err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
	}
	// A namespace below one that denies it may not allow it.
	setgroups, err := os.ReadFile("/proc/self/setgroups")
	attributes.GidMappingsEnableSetgroups = err == nil && string(bytes.TrimSpace(setgroups)) == "allow"
	return nil
}

// parseIDMap reads an id map, user_namespaces(7), and returns the map of a
// namespace below in which every id is called the same.
func parseIDMap(text []byte) ([]syscall.SysProcIDMap, error) {
	var ids []syscall.SysProcIDMap
	for scan := bufio.NewScanner(bytes.NewReader(text)); scan.Scan(); {
		var inside, outside, size uint32
		if n, err := fmt.Sscanf(strings.TrimSpace(scan.Text()), "%d %d %d", &inside, &outside, &size); n != 3 {
			return nil, invalid("line %q is not three numbers: %w", scan.Text(), err)
		}
		if int64(inside) > math.MaxInt || size == 0 {
			return nil, invalid("range of %d ids from %d", size, inside)
		}
		// int has 32 bits on some machines.
		ids = append(ids, syscall.SysProcIDMap{
			ContainerID: int(inside), HostID: int(inside), Size: int(min(int64(size), math.MaxInt)),
		})
	}
	if len(ids) == 0 {
		return nil, invalid("no ids are mapped")
	}
	return ids, nil
}

func namespaceError(op string, err error) error {
	e := &Error{Op: op, Err: err}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		e.Err = fmt.Errorf("%w: the limit of user namespaces is reached: %w", ErrPermission, err)
		e.Hint = "run `sysctl user.max_user_namespaces=10000` as root"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		e.Err = fmt.Errorf("%w: user namespaces are forbidden here: %w", ErrPermission, err)
		e.Hint = "run `sysctl kernel.unprivileged_userns_clone=1` as root where that exists, or in a container " +
			"start it with --privileged"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		e.Err = fmt.Errorf("%w: the kernel has no user namespaces: %w", ErrUnsupported, err)
		e.Hint = "use the handlers of the host"
	}
	return e
}

// MountScratch mounts an empty file system in memory on dir, where programs can be
// executed even if they cannot elsewhere. Only the calling process's mount
// namespace sees it; [EnterNamespace] comes first.
func MountScratch(dir string) error {
	err := unix.Mount("mabuild", dir, "tmpfs", unix.MS_NODEV, "mode=0711,size=16m")
	if err != nil {
		return &Error{Op: "mounting a file system in memory on " + dir, Err: err}
	}
	return nil
}

// EnterNamespace gives the calling process's user namespace a binfmt_misc of its
// own with no handlers in it, and returns that. The process must have been
// started by [StartInNamespace], or be as privileged in namespaces of its own;
// its mounts no longer spread to the outside afterwards. Errors are those of
// [MountPrivate].
func EnterNamespace() (*Table, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return nil, mountError("separating this process's mounts from others", err, KernelRelease())
	}
	if err := MountPrivate(DefaultDir); err != nil {
		return nil, err
	}
	return Open(DefaultDir)
}
