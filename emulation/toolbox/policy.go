package toolbox

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Rule is a line of the policy: what one kind of tool is trusted with.
type Rule struct {
	Class    Class
	Packages string   // patterns of names of Debian packages, or "go"
	Names    string   // base names, without the triplet before them; * is every program
	Wide     bool     // only for targets of 64 bits, where the tool's limits are the same
	Targets  string   // the architectures that it was compared on, as Go calls them; empty is all that toolboxes are made for
	Unit     string   // tools of a unit are native together or not at all
	Limits   []string // with what it is emulated all the same: see limits.go
	Waits    string   // what has to be there before any toolbox has the tool; until then it stays emulated
	Reason   string
}

// Policy returns the table: what may run natively in an emulated step, what must be
// asked for, and what never does. A program that no line names stays emulated; the
// lines of class [Never] are there for those who ask why.
//
// Proven means that the same input gives the same bytes. Whoever adds a line says
// in its reason why that is so, or why it is not.
func Policy() []Rule {
	return []Rule{
		on("arm64", limited(compilerLimits(), rule(Proven, "cpp-*", "cc1", "generates code for the target alone; folds floats in software; its header paths are rewritten to the target's"))),
		on("arm64", limited(compilerLimits(), rule(Proven, "g++-*", "cc1plus", "as cc1"))),
		on("arm64", limited(compilerLimits(), rule(Proven, "gcc-*", "lto1", "as cc1, from intermediate code"))),
		on("arm64", rule(Proven, "gcc-*", "lto-wrapper", "starts compilers by what the gcc driver, which is emulated, says in its environment")),
		on("arm64", unit("binutils", rule(Proven, "binutils-*", "as ld.bfd", "one source for every machine; as a unit, because what one writes by means of the LTO plugin the others read by it"))),
		on("arm64", unit("binutils", limited(bfdLimits(), rule(Proven, "binutils-*", "ar ranlib nm strip objcopy", "one source for every machine; of the unit")))),
		limited(dpkgLimits(), rule(Proven, "dpkg", "dpkg-deb", "unpacks and packs; no native architecture compiled in but for --version")),
		rule(Proven, "dpkg", "dpkg-split update-alternatives", "as dpkg-deb"),
		rule(Proven, "tar", "tar", "archives bytes"),
		rule(Proven, "gzip", "gzip", "compresses with one algorithm in integers"),
		rule(Proven, "bzip2", "bzip2", "as gzip"),
		wide(rule(Proven, "xz-utils", "xz", "as gzip; below 64 bits it chooses other limits of memory")),
		on("arm64 riscv64", rule(Proven, "zstd", "zstd", "as gzip; on s390x some levels find other matches")),
		wide(rule(Proven, "dash", "dash", "no builtin tells the machine; arithmetic has 64 bits, and below shifts by more differ; printf has double")),
		wide(rule(Proven, "sed", "sed", "filters text; below 64 bits numbers of lines are cut off")),
		rule(Proven, "grep", "grep", "filters text"),
		rule(Proven, "findutils", "find xargs", "walk directories and start programs"),
		rule(Never, "mawk", "mawk", "turns doubles into integers as its machine does: %u of -1 is another number"),
		rule(Proven, "diffutils", "cmp diff", "compare bytes"),
		rule(Proven, "coreutils", "cat cp mv rm mkdir rmdir ln chmod chown chgrp touch cut tr head tail uniq comm join paste tee basename dirname readlink realpath mktemp install true false test [ expr echo env sleep", "files and text, no numbers but integers"),
		limited([]string{"refuse --d"}, rule(Proven, "coreutils", "wc cksum", "as cat and as sum; --debug tells the machine")),
		wide(rule(Proven, "coreutils", "ls", "as cat; -T knows larger numbers than 32 bits")),
		wide(rule(Proven, "coreutils", "base64 base32", "encodings are defined by bytes; -w knows larger numbers than 32 bits")),
		on("arm64", rule(Proven, "coreutils", "csplit date dd dir expand fmt fold groups id link mkfifo mknod nice nl nohup pathchk pr printenv pwd split stat sync tac timeout truncate tsort unexpand unlink vdir whoami yes", "files, text, names and times, no numbers but integers")),
		rule(Proven, "coreutils", "sha1sum sha224sum sha256sum sha384sum sha512sum b2sum md5sum sum", "checksums are defined by bytes"),
		limited(goLimits(), rule(Proven, "go", "asm cgo compile cover link preprofile vet", "compile for GOARCH, which the emulated go command sets; a release makes the same output on every machine")),
		rule(Proven, "go", "buildid pack", "read and write files of any architecture"),

		waiting("toolboxes with the directory that java finds its parts in; in images of a JDK, --assist=java has one", rule(OptIn, "openjdk-*", "java javac jar javadoc", "bytecode is the same, but os.arch tells the machine")),
		waiting("a way to load the target's procedural macros, and a rule that wants --target; a stage FROM --platform=$BUILDPLATFORM compiles natively", rule(OptIn, "rustc", "rustc", "the same library with --target, without which it compiles for the machine")),
		rule(OptIn, "openssl", "openssl", "digests and certificates are the same; what it says of its machine and speed is not"),
		on("arm64", limited(nodeLimits(), rule(OptIn, "nodejs", "node", "for tsc and terser alone, which are JavaScript; process.arch tells the machine"))),
		on("arm64", limited(pythonLimits(), rule(OptIn, "python3.*-minimal", "python3.*", "for compileall and py_compile alone, whose bytecode was the same; sysconfig tells the machine, and modules of the target do not load"))),

		rule(Never, "coreutils", "sort seq printf od numfmt", "long double has 80 bits on x86 and 128 or 64 elsewhere: other digits (sort only with -g, which a step may use)"),
		rule(Never, "coreutils", "uname arch nproc", "describe the machine"),
		rule(Never, "coreutils", "who users logname pinky uptime", "read records of logins, which have another size elsewhere"),
		rule(Never, "coreutils", "stdbuf", "has the program load a library of its own, which is the target's"),
		rule(Never, "gcc-* g++-* cpp-*", "gcc g++ cpp gcc-* g++-* cpp-*", "the driver tells directories, and with -march=native the machine"),
		rule(Never, "gcc-*", "collect2", "one made to cross looks in PATH for TRIPLET-ld where the target's own looks for ld: it does not see a linker that somebody put first there"),
		rule(Never, "bash", "bash", "$MACHTYPE and $HOSTTYPE tell the machine; printf has long double"),
		rule(Never, "make", "make", "$(MAKE_HOST) tells the machine"),
		rule(Never, "perl perl-base", "*", "Config and @INC tell the machine; modules of the target do not load"),
		rule(Never, "python3*", "*", "sysconfig tells the machine; only compileall can be asked for"),
		rule(Never, "ruby* php*", "*", "as perl"),
		rule(Never, "cmake", "cmake", "CMAKE_HOST_SYSTEM_PROCESSOR tells the machine"),
		rule(Never, "dpkg", "dpkg dpkg-query dpkg-trigger dpkg-statoverride dpkg-divert", "the native architecture is compiled in"),
		on("arm64", rule(Proven, "apt", "store", "unpacks and sums up lists; all that it knows of the machine is what apt says")),
		rule(Never, "apt apt-utils", "*", "as dpkg"),
		rule(Never, "rpm apk-tools npm python3-pip", "*", "choose packages by the machine"),
		rule(Never, "libc-bin", "ldconfig ldd getconf locale localedef iconv", "describe or write what belongs to the target's libc"),
		rule(Never, "util-linux", "lscpu setarch", "describe the machine"),
		rule(Never, "busybox busybox-static", "busybox", "one program with uname and arch in it"),
		rule(Never, "gawk", "gawk", "tells the platform and loads extensions of the target"),
		rule(Never, "git", "git", "not tried"),
		rule(Never, "go", "go gofmt dist", "GOARCH defaults to the machine"),
	}
}

func rule(class Class, packages, names, reason string) Rule {
	return Rule{Class: class, Packages: packages, Names: names, Reason: reason}
}

func wide(r Rule) Rule {
	r.Wide = true
	return r
}

func on(targets string, r Rule) Rule {
	r.Targets = targets
	return r
}

func unit(name string, r Rule) Rule {
	r.Unit = name
	return r
}

func limited(limits []string, r Rule) Rule {
	r.Limits = limits
	return r
}

func waiting(what string, r Rule) Rule {
	r.Waits = what
	return r
}

// PolicyVersion names the table: another table has another version.
func PolicyVersion() string { return versionOf(Policy()) }

func versionOf(policy []Rule) string {
	sum := sha256.New()
	for _, rule := range policy {
		fmt.Fprintf(sum, "%q %q %q %t %q %q %q %q\n", rule.Class, rule.Packages, rule.Names, rule.Wide, rule.Targets, rule.Unit, rule.Waits, rule.Limits)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12]
}

// RuleFor returns the line for a tool: the first that names it.
func RuleFor(pkg, name string) (Rule, bool) {
	for _, rule := range Policy() {
		if matches(rule.Packages, pkg) && matches(rule.Names, name) {
			return rule, true
		}
	}
	return Rule{}, false
}

// ruleFor returns the line that lets a tool run natively on a target.
func ruleFor(target machine, pkg, name string) (Rule, bool) {
	rule, ok := RuleFor(pkg, strings.TrimPrefix(name, target.triplet+"-"))
	return rule, ok && rule.Class != Never && rule.Waits == "" && (target.bits == 64 || !rule.Wide) &&
		(rule.Targets == "" || matches(rule.Targets, target.arch))
}

// isWanted reports whether a package has anything that may run natively.
func isWanted(pkg string, optIn bool) bool {
	return slices.ContainsFunc(Policy(), func(rule Rule) bool {
		return (rule.Class == Proven || rule.Class == OptIn && optIn) && rule.Waits == "" && matches(rule.Packages, pkg)
	})
}

func matches(patterns, name string) bool {
	return slices.ContainsFunc(strings.Fields(patterns), func(pattern string) bool {
		if pattern == name { // "[" is a name, too
			return true
		}
		ok, err := path.Match(pattern, name)
		return err == nil && ok
	})
}
