package engine

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// privateSupported reports whether the kernel gives user namespaces binfmt_misc
// tables of their own: since Linux 6.7, commit 21ca59b365c0.
func privateSupported() bool {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return false
	}
	return releaseAtLeast(unix.ByteSliceToString(name.Release[:]), 6, 7)
}

// releaseAtLeast compares a release like "6.12.9-amd64" with a version.
func releaseAtLeast(release string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a > major || a == major && b >= minor
}
