package toolbox

import (
	"fmt"
	"strings"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// A program can be trusted in general and not with everything that it is told. The
// limits of a [Rule] say when it has to be left to QEMU; they become the tool's rules
// in a view, which the stub keeps to. They are those of [dispatch.FormatRules], where
//
//	{triplet}  is the target's, in a line for each that the architecture has
//	{host}     is the toolbox's
//	arm: …     is for targets of that architecture alone

// compilerLimits are where a compiler that crosses writes or reads something else than
// the target's own.
func compilerLimits() []string {
	return []string{
		"files", // lto1 gets its objects so, always
		// A precompiled header is an image of the compiler's memory. One that QEMU has
		// made is refused by its checksum of the compiler: silently, but for the warning
		// that can be asked for, and the headers that -MD lists.
		"refuse --output-pch", "refuse -Winvalid-pch", "refuse -fpch-preprocess", "refuse -fpch-deps", "beside -include .gch",
		// A C++ module names the host.
		"refuse -fmodule",
		// The target's own may be made to offload to accelerators. With -lm, which is with
		// every C++ program, the driver adds -foffload-options: that is for these alone.
		"refuse -fopenmp", "refuse -fopenacc", "refuse -foffload=", "refuse -foffload-abi",
		// The driver looks at its machine, and says what it saw; a compiler would see another.
		"refuse -march=native", "refuse -mcpu=native", "refuse -mtune=native",
		// The length of a directory is compiled in, and which of them --sysroot moves.
		"refuse -iprefix", "refuse -iwithprefix", "refuse -isysroot", "unset GCC_EXEC_PREFIX",
		// By the components that directories are compiled in for.
		"unset GCC_ROOT", "unset G++_ROOT", "unset BINUTILS_ROOT",
	}
}

// bfdLimits hold libbfd to plugins that a native program has, too: any other in its
// directories, Clang's for example, would be loaded by the target's own. The linker has
// none of these limits, since the compiler always tells it its plugin, and then it does
// not look there.
func bfdLimits() []string {
	return []string{
		"only /usr/lib/bfd-plugins " + pluginName,
		"only /usr/lib/{triplet}/bfd-plugins libdep.so", // from the binutils; claims no file
		"only /usr/lib/{host}/bfd-plugins",
	}
}

// dpkgLimits leave out what tells the machine, and what zstd does not do the same on.
func dpkgLimits() []string {
	return []string{
		"refuse --vers",
		"s390x: refuse -Zzstd", "s390x: refuse zstd", "s390x: unset DPKG_DEB_COMPRESSOR_TYPE",
	}
}

// goLimits hold Go's tools to what the go command sets: without it they compile for
// the machine that they run on, or for the one that they were built on.
func goLimits() []string { return []string{"set GOARCH", "arm: set GOARM"} }

// pythonLimits leave the compilation to bytecode: by -m or, as Debian's packages start it
// at first, by the file of the module.
func pythonLimits() []string {
	return []string{
		"script -m -B -E -I -O -OO -S -b -q -s -u compileall py_compile compileall.py py_compile.py",
		// For further processes it loads a module that is the target's.
		"refuse -j", "refuse -qj", "refuse -fj", "refuse --w",
		"unset PYTHONPATH", "unset PYTHONHOME", "unset PYTHONPLATLIBDIR",
	}
}

// nodeLimits leave programs that are JavaScript alone, without what Node can be told to
// load before them. From Node 22 on, new versions of tsc keep compiled code of the machine
// in the directory for temporary files, unless NODE_DISABLE_COMPILE_CACHE is set.
func nodeLimits() []string {
	return []string{
		"script --max-old-space-size= --max_old_space_size= --no-warnings tsc tsc.js terser",
		"unset NODE_OPTIONS", "unset NODE_V8_COVERAGE", "unset NODE_COMPILE_CACHE",
	}
}

// limitsOf returns the rules for a tool of a box, as today's policy has them.
func limitsOf(rule Rule, box *Box, tool *Tool) ([]string, error) {
	var rules []string
	for _, limit := range rule.Limits {
		if arch, rest, ok := strings.Cut(limit, ": "); ok {
			if arch != box.Arch {
				continue
			}
			limit = rest
		}
		rules = append(rules, expand(limit, box)...)
	}
	if id := pluginID(box); tool.Plugin != "" && id != "" {
		rules = append(rules, "plugin "+id)
	}
	if _, err := dispatch.FormatRules(rules); err != nil {
		return nil, fmt.Errorf("limiting %s: %w", tool.Path, err)
	}
	return rules, nil
}

func expand(limit string, box *Box) []string {
	if host, err := byArch(box.Host); err == nil {
		limit = strings.ReplaceAll(limit, "{host}", host.triplet)
	}
	var lines []string
	for _, m := range machines() {
		if m.arch == box.Arch && (len(lines) == 0 || strings.Contains(limit, "{triplet}")) {
			lines = append(lines, strings.ReplaceAll(limit, "{triplet}", m.triplet))
		}
	}
	return lines
}

// pluginID is the build-id of the target's LTO plugin that a box has the twin of: the
// binutils name it in their closure. Without it no plugin is replaced.
func pluginID(box *Box) string {
	for _, tool := range box.Tools {
		for _, need := range tool.Closure {
			if need.Path == bfdPlugin {
				return need.BuildID
			}
		}
	}
	return ""
}
