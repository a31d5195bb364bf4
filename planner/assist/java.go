package assist

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Java runs the programs of a JDK natively, for commands that only compile and
// pack: class files are the same everywhere. It is off by default, because Java
// programs can see on which machine they run: os.arch is the builder's, so plugins
// that choose by it, and native libraries for annotation processors, get another
// answer than they do on the target.
type Java struct{}

// Name implements [Recipe].
func (Java) Name() string { return "java" }

// triplets are the names of Debian's library directories and loaders.
var triplets = map[string]struct{ dir, loader string }{
	"amd64": {"x86_64-linux-gnu", "/lib64/ld-linux-x86-64.so.2"},
	"arm64": {"aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1"},
}

// Find implements [Recipe].
func (Java) Find(pair Pair) (Kit, error) {
	target, native := pair.Target.Env["JAVA_HOME"], pair.Native.Env["JAVA_HOME"]
	switch {
	case target == "":
		return Kit{}, ErrUnknownImage
	case native == "":
		return Kit{}, fmt.Errorf("the image has JAVA_HOME for %s but not for %s", named(pair.Target), named(pair.Native))
	case pair.Target.Env["JAVA_VERSION"] != pair.Native.Env["JAVA_VERSION"]:
		return Kit{}, fmt.Errorf("the image has Java %s for %s and %s for %s",
			pair.Target.Env["JAVA_VERSION"], named(pair.Target), pair.Native.Env["JAVA_VERSION"], named(pair.Native))
	}
	target, native = path.Clean(target), path.Clean(native)
	libs, ok := triplets[pair.Native.Platform.Architecture]
	if !ok {
		return Kit{}, fmt.Errorf("where libraries are on %s is not known", named(pair.Native))
	}
	usr := "/usr/lib/" + libs.dir
	kit := Kit{
		Mounts: []Mount{
			{Source: native, Target: target},
			{Source: usr, Target: usr, Creates: true},
			{Source: usr + "/" + path.Base(libs.loader), Target: libs.loader, Creates: true},
		},
		Tree: target,
		Read: slices.Compact([]string{native + "/release", target + "/release"}),
	}
	kit.Prove = func(t, n Tree) error { return proveJava(pair, kit.Mounts, t, n) }
	return kit, nil
}

// perMachine are lines of a JDK's release file that differ between machines.
var perMachine = regexp.MustCompile(`(?m)^(OS_ARCH|LIBC|BUILD_INFO|SOURCE|BUILD_SOURCE|BUILD_SOURCE_REPO|BUILD_TYPE)=.*\n?`)

func proveJava(pair Pair, mounts []Mount, target, native Tree) error {
	a := perMachine.ReplaceAllString(string(target[mounts[0].Target+"/release"].Content), "")
	b := perMachine.ReplaceAllString(string(native[mounts[0].Source+"/release"].Content), "")
	if a == "" || a != b {
		return fmt.Errorf("%s/release differs between %s and %s", mounts[0].Target, named(pair.Target), named(pair.Native))
	}
	for _, side := range []struct {
		image Image
		tree  Tree
		home  string
	}{{pair.Target, target, mounts[0].Target}, {pair.Native, native, mounts[0].Source}} {
		for _, program := range []string{"bin/java", "bin/javac"} {
			if err := checkProgram(side.tree[path.Join(side.home, program)].Head, side.image.Platform.Architecture); err != nil {
				return fmt.Errorf("checking %s for %s: %w", program, named(side.image), err)
			}
		}
	}
	// The native java must look for the loader where it is put.
	head := native[path.Join(mounts[0].Source, "bin/java")].Head
	if !strings.Contains(string(head), mounts[2].Target+"\x00") {
		return fmt.Errorf("java for %s does not use %s", named(pair.Native), mounts[2].Target)
	}
	if err := sameFiles(pair, mounts[0], target, native); err != nil {
		return err
	}
	return sameLinks(mounts[0], target, native)
}

// machineFile are files of a JDK that only one machine's may have.
var machineFile = regexp.MustCompile(`^(legal|man|jmods|docs)(/|$)|\.(so|jsa|debuginfo|diz)$`)

// sameFiles reports whether somebody has put something into one of the JDKs.
func sameFiles(pair Pair, jdk Mount, target, native Tree) error {
	a := slices.DeleteFunc(target.names(jdk.Target), machineFile.MatchString)
	b := slices.DeleteFunc(native.names(jdk.Source), machineFile.MatchString)
	for _, name := range a {
		if !slices.Contains(b, name) {
			return fmt.Errorf("the image for %s has no %s", named(pair.Native), path.Join(jdk.Source, name))
		}
	}
	for _, name := range b {
		if !slices.Contains(a, name) {
			return fmt.Errorf("the image for %s has no %s", named(pair.Target), path.Join(jdk.Target, name))
		}
	}
	return nil
}

// sameLinks reports whether links out of the native JDK, as Debian has them to
// /etc, lead to the files that the target's own lead to.
func sameLinks(jdk Mount, target, native Tree) error {
	for _, name := range native.names(jdk.Source) {
		file := native[path.Join(jdk.Source, name)]
		if file.Link == "" {
			continue
		}
		to := file.Link
		if !path.IsAbs(to) {
			if to = path.Join(path.Dir(name), to); to != ".." && !strings.HasPrefix(to, "../") {
				continue // stays inside
			}
		}
		if own := target[path.Join(jdk.Target, name)]; own.Link != file.Link && !strings.HasSuffix(name, ".so") {
			return fmt.Errorf("%s leads to %s, but %s does not", path.Join(jdk.Source, name), file.Link, path.Join(jdk.Target, name))
		}
	}
	return nil
}
