package toolbox

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// A compiler that is made to cross has other directories compiled in than the one
// that it stands for: its headers are below /usr/lib/gcc-cross, those of C++ below
// /usr/TRIPLET/include. All are longer than the target's, so that these can be
// written in their places. What is compared at the end are the two compilers' own
// lists: a directory too many or too few and the tool is refused.
//
// The length of one of them is compiled in, too. It matters only with -iprefix and
// GCC_EXEC_PREFIX, with which the stub leaves a compiler to QEMU.

const crossPrefix, nativePrefix = "/usr/lib/gcc-cross/", "/usr/lib/gcc/"

// relocateCompiler gives a cross compiler the directories of the target's own. It
// changes the bytes.
func relocateCompiler(data, target []byte, triplet string) error {
	wanted := stringsWith(target, nativePrefix)
	for _, old := range stringsWith(data, crossPrefix) {
		name := nativeDirectory(old, triplet)
		if !slices.Contains(wanted, name) {
			return fmt.Errorf("relocating the compiler: the target's has no directory %s", name)
		}
		if err := replaceString(data, old, name); err != nil {
			return err
		}
	}
	if got := stringsWith(data, nativePrefix); !slices.Equal(got, wanted) {
		return fmt.Errorf("relocating the compiler: it has the directories %q where the target's has %q", got, wanted)
	}
	return nil
}

// nativeDirectory is the target's name of a cross compiler's directory.
func nativeDirectory(name, triplet string) string {
	name = nativePrefix + strings.TrimPrefix(name, crossPrefix)
	version, _, _ := strings.Cut(strings.TrimPrefix(name, nativePrefix+triplet+"/"), "/")
	cxx := "/../../../../" + triplet + "/include/c++/"
	base, rest, ok := strings.Cut(name, cxx)
	if !ok {
		return name
	}
	if rest == version+"/"+triplet {
		return base + "/../../../../include/" + triplet + "/c++/" + version
	}
	return base + "/../../../../include/c++/" + rest
}

// stringsWith returns the different strings with a prefix, sorted.
func stringsWith(data []byte, prefix string) []string {
	var found []string
	start := []byte("\x00" + prefix)
	for i := bytes.Index(data, start); i >= 0; {
		text := data[i+1:]
		end := bytes.IndexByte(text, 0)
		if end < 0 {
			break
		}
		found = append(found, string(text[:end]))
		next := bytes.Index(text, start)
		if next < 0 {
			break
		}
		i += 1 + next
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// replaceString writes a string in the place of another one, wherever that is.
func replaceString(data []byte, old, name string) error {
	if len(name) > len(old) {
		return fmt.Errorf("writing %q in the place of %q: it is longer", name, old)
	}
	place := []byte("\x00" + old + "\x00")
	for i := bytes.Index(data, place); i >= 0; i = bytes.Index(data, place) {
		clear(data[i+1+copy(data[i+1:], name) : i+1+len(old)])
		if name == old {
			break
		}
	}
	return nil
}

// libbfd loads plugins from a directory beside the program, where the target's are.
const bfdPlugins = "/usr/bin/../lib/bfd-plugins"

// relocatePlugins makes libbfd look for plugins in the toolbox. It changes the bytes.
func relocatePlugins(data []byte, slot string) error {
	return replaceString(data, bfdPlugins, root+"/"+slot+"/"+pluginDir)
}
