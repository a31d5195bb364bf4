//go:build unix

package output

import (
	"archive/tar"

	"golang.org/x/sys/unix"
)

// node is what mknod takes for a device or a pipe.
func node(header *tar.Header) (mode uint32, device int) {
	mode = uint32(header.Mode & 0o7777) //nolint:gosec // fits
	switch header.Typeflag {
	case tar.TypeChar:
		mode |= unix.S_IFCHR
	case tar.TypeBlock:
		mode |= unix.S_IFBLK
	default:
		mode |= unix.S_IFIFO
	}
	return mode, int(unix.Mkdev(uint32(header.Devmajor), uint32(header.Devminor))) //nolint:gosec // 32 bits on every system
}
