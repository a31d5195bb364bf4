package verify

import (
	"path"
	"strings"

	"github.com/mabuild/mabuild/builder/verify/internal/header"
)

// DefaultIgnore returns the globs of paths that hold files for other machines in
// good images: test data, objects for linking and firmware. They do not apply to
// what an image starts.
func DefaultIgnore() []string {
	return []string{
		"**/testdata/**", "**/*.obj",
		"**/*.syso", "**/*.o", "**/*.a",
		"**/lib/firmware/**", "**/usr/share/qemu/**", "**/usr/lib/grub/**",
	}
}

// places tells directories by what a wrong file in them means.
type places struct {
	path      map[string]bool // directories of PATH
	libraries []string
}

// level returns how bad a file for another machine is in its place.
func (p places) level(name string, h header.Header) Level {
	dir, base := path.Split(name)
	switch {
	case strings.HasPrefix(base, "qemu-"):
		// An interpreter of the build machine, for running other programs there.
		return Note
	case names(dir, h), onPurpose(dir):
		return Note
	}
	return p.plainLevel(name)
}

// plainLevel is level without regard of what the file is for.
func (p places) plainLevel(name string) Level {
	dir := path.Dir(name)
	if p.path[dir] {
		return Warning
	}
	for _, library := range p.libraries {
		if strings.HasPrefix(name, library+"/") {
			return Warning
		}
	}
	return Note
}

// onPurpose knows directories with files for many machines that do not name them:
// wine, cross compilers, the NDK.
func onPurpose(dir string) bool {
	for part := range strings.SplitSeq(dir, "/") {
		if part == "wine" || part == "gcc-cross" || part == "rustlib" || strings.HasPrefix(part, "android-ndk") || part == "prebuilds" {
			return true
		}
	}
	return false
}
