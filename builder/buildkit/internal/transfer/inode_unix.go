//go:build !windows

package transfer

import (
	"io/fs"
	"syscall"
)

// inode identifies a file that has several names. Directories have no others, and a
// symbolic link's name is where it leads.
func inode(info fs.FileInfo) (number uint64, several bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.IsDir() || info.Mode()&fs.ModeSymlink != 0 {
		return 0, false
	}
	return uint64(stat.Ino), stat.Nlink > 1 //nolint:unconvert // not everywhere of this size
}
