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
// programs can see on which machine they run: os.arch is the builder's, so build
// scripts that choose by it, and native libraries for annotation processors, get
// another answer than they do on the target.
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
	return nil
}

var (
	javaCompilers = []string{"javac", "jar", "mvn", "mvnw", "gradle", "gradlew", "ant"}
	javaForbidden = []string{"jlink", "jpackage", "native-image", "jmod", "java"}
)

// Judge implements [Recipe]. A command gets the tools only if all that it does is
// known: nothing but compilers, and what cannot start a Java.
func (Java) Judge(run Run) Verdict {
	v := Verdict{}
	if run.Opaque {
		return Verdict{Use: true, Reason: "the script cannot be read in advance"}
	}
	if home := run.Env["JAVA_HOME"]; path.Clean(home) != run.Kit.Tree {
		return Verdict{Reason: fmt.Sprintf("JAVA_HOME is set to %s", home), Spoils: true}
	}
	for _, name := range []string{"JAVA_TOOL_OPTIONS", "LD_PRELOAD", "LD_LIBRARY_PATH"} {
		if run.Env[name] != "" && run.Env[name] != run.Pair.Target.Env[name] {
			v.Reason = fmt.Sprintf("%s is set", name)
		}
	}
	for _, c := range run.Commands {
		for _, assign := range c.Assigns {
			if name, _, _ := strings.Cut(assign, "="); slices.Contains([]string{"JAVA_HOME", "LD_PRELOAD", "LD_LIBRARY_PATH", "JAVA_TOOL_OPTIONS"}, name) {
				v.Reason, v.Spoils = "it sets "+name, true
			}
		}
		compiler := c.Calls(javaCompilers...)
		switch {
		case c.Calls(javaForbidden...):
			v.Reason = fmt.Sprintf("%s depends on the machine", c.Name())
		case compiler:
			v.Use = true
		case c.Scripted():
			v.Reason = fmt.Sprintf("what %s does cannot be read in advance", c.Name())
		}
		for _, word := range slices.Concat(c.Words, c.Redirects) {
			switch {
			case strings.Contains(word, "jlink"), strings.Contains(word, "jpackage"), strings.Contains(word, "native"):
				v.Reason = fmt.Sprintf("%s depends on the machine", word)
			case strings.Contains(word, run.Kit.Tree), strings.Contains(word, "JAVA_HOME"):
				v.Reason, v.Spoils = fmt.Sprintf("it uses Java's own directory (%s)", word), true
			}
		}
		if c.Calls("apt-get", "apt", "apk", "dnf", "yum", "microdnf", "dpkg", "rpm", "sdk") {
			v.Reason, v.Spoils = "it installs packages, which may be Java's", true
		}
		if v.Spoils {
			return v
		}
	}
	return v
}
