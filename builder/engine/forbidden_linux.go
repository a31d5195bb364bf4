package engine

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// launchError explains why the kernel does not let a process have namespaces.
func launchError(err error) error {
	return &Error{Op: "starting the engine in a user namespace of its own", Err: err, Hint: namespaceHint(err, sysctl)}
}

// sysctl reads a kernel setting, empty where there is none.
func sysctl(name string) string {
	body, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(body))
}

// namespaceHint tells what forbids user namespaces, and what to do.
func namespaceHint(err error, setting func(string) string) string {
	const otherwise = " Or use a BuildKit daemon of your own with --node."
	switch {
	case setting("user.max_user_namespaces") == "0":
		return "User namespaces are switched off. As root: sysctl user.max_user_namespaces=10000." + otherwise
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		return "The limit of user namespaces, or of their nesting (32), is reached. As root: sysctl user.max_user_namespaces=10000." + otherwise
	case setting("kernel.unprivileged_userns_clone") == "0":
		return "User namespaces are switched off for ordinary users. As root: sysctl kernel.unprivileged_userns_clone=1." + otherwise
	case setting("kernel.apparmor_restrict_unprivileged_userns") == "1":
		return "AppArmor restricts user namespaces (Ubuntu 23.10 and later). As root: sysctl kernel.apparmor_restrict_unprivileged_userns=0, " +
			"or give mabuild a profile with `userns,`: https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces." + otherwise
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "This system forbids user namespaces: usually a container without the right to them. " +
			"Run that container with --privileged, or with --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined." + otherwise
	}
	return ""
}
