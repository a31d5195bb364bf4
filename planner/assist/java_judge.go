package assist

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/planner/assist/script"
)

var (
	javaCompilers = []string{"javac", "jar", "mvn", "mvnw", "gradle", "gradlew", "ant"}
	// javaProjects are those that do what a file of the project says.
	javaProjects = javaCompilers[2:]
	// javaBeside are programs that do the same beside native tools, and start no
	// others.
	javaBeside = []string{
		"", ":", "true", "false", "test", "[", "[[", "set", "shift", "cd", "pushd", "popd", "export", "unset", "local", "readonly",
		"declare", "read", "return", "exit", "break", "continue", "wait", "umask", "ulimit", "times",
		"echo", "printf", "cat", "tee", "ls", "pwd", "date", "sleep", "basename", "dirname", "uname", "id", "wc", "head", "tail", "cut", "tr",
		"sort", "uniq", "sed", "grep", "egrep", "fgrep", "diff", "cmp", "sha256sum", "sha512sum", "md5sum",
		"mkdir", "rmdir", "rm", "cp", "mv", "ln", "touch", "chmod", "chown", "install", "mktemp",
		"tar", "gzip", "gunzip", "xz", "zip", "unzip", "curl", "wget", "git",
	}
	javaInstallers = []string{"apt-get", "apt", "apk", "dnf", "yum", "microdnf", "dpkg", "rpm", "sdk"}
	// javaSettings change which Java runs, or how.
	javaSettings = []string{
		"JAVA_HOME", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "JDK_JAVAC_OPTIONS", "_JAVA_OPTIONS",
	}
	// javaDependent are words for what is made for one machine.
	javaDependent = regexp.MustCompile(`jlink|jpackage|jmod|native`)
)

// Judge implements [Recipe]. A command gets the tools only if all that it does is
// known: compilers, and what neither starts a Java nor reads Java's directory.
func (Java) Judge(run Run) Verdict {
	if run.Opaque {
		return Verdict{Reason: "the script cannot be read in advance"}
	}
	if home := run.Env["JAVA_HOME"]; path.Clean(home) != run.Kit.Tree {
		return Verdict{Reason: fmt.Sprintf("JAVA_HOME is set to %s", home), Spoils: true}
	}
	v := Verdict{}
	for _, name := range javaSettings {
		// Agents of the image itself are programs of its platform.
		if run.Env[name] != run.Pair.Target.Env[name] || strings.Contains(run.Env[name], "-agent") {
			v.Reason = fmt.Sprintf("%s is set", name)
		}
	}
	dir, project := run.Dir, false
	for _, c := range run.Commands {
		if reason := spoilsJava(run.Kit, c, dir); reason != "" {
			return Verdict{Reason: reason, Spoils: true}
		}
		for _, program := range programsOf(c) {
			switch {
			case slices.Contains(javaCompilers, program):
				v.Use = true
				project = project || slices.Contains(javaProjects, program)
			case slices.Contains(javaInstallers, program):
				v.Reason = "it installs packages, which may start Java"
			case c.Scripted():
				v.Reason = fmt.Sprintf("what %s does cannot be read in advance", program)
			case !slices.Contains(javaBeside, program):
				v.Reason = fmt.Sprintf("what %s does may depend on the machine", program)
			}
		}
		for _, word := range c.Words {
			if javaDependent.MatchString(word) {
				v.Reason = fmt.Sprintf("%s depends on the machine", word)
			}
		}
		if slices.Contains([]string{"cd", "pushd"}, c.Name()) && len(c.Words) > 1 {
			dir = within(dir, c.Words[1])
		}
	}
	if v.Use && project && v.Reason == "" {
		v.Reason, v.Note = judgeProject(run.Files)
	}
	return v
}

// wrapperArg is what may stand between a wrapper and the program that it starts.
var wrapperArg = regexp.MustCompile(`^(-\S*|[0-9.]+[smhd]?|\{\}|[A-Za-z_][A-Za-z0-9_]*=.*)$`)

// programsOf names what a command starts: itself, or what stands behind a wrapper.
func programsOf(c script.Command) []string {
	switch name := c.Name(); name {
	case "find":
		var programs []string
		for i, word := range c.Words[:len(c.Words)-1] {
			if slices.Contains([]string{"-exec", "-execdir", "-ok", "-okdir"}, word) {
				programs = append(programs, path.Base(c.Words[i+1]))
			}
		}
		return programs
	case "env", "exec", "time", "nice", "nohup", "timeout", "xargs":
		for _, word := range c.Words[1:] {
			if !wrapperArg.MatchString(word) {
				return []string{path.Base(word)}
			}
		}
		return nil
	case "javac", "jar", "mvn", "ant", "gradle", "mvnw", "gradlew":
		return []string{name}
	case "":
		return nil
	default:
		if dir := path.Dir(c.Words[0]); dir != "." && !slices.Contains([]string{"/bin", "/sbin", "/usr/bin", "/usr/sbin"}, dir) {
			return []string{c.Words[0]} // a program of the project
		}
		return []string{name}
	}
}

// spoilsJava says how a command may read or change Java's own directory, or choose
// another.
func spoilsJava(kit Kit, c script.Command, dir string) string {
	for _, assign := range slices.Concat(c.Assigns, c.Words) {
		if name, _, ok := strings.Cut(assign, "="); ok && slices.Contains(javaSettings, name) {
			return "it sets " + name
		}
	}
	if c.Calls("keytool", "__cacert_entrypoint.sh") {
		return fmt.Sprintf("%s may change Java's certificates", c.Name())
	}
	// Packages don't put anything into these.
	if c.Calls(javaInstallers...) && !overlap(kit.Tree, "/opt") && !overlap(kit.Tree, "/usr/local") {
		return "it installs packages, which may be Java's"
	}
	for i, word := range slices.Concat(c.Words, c.Redirects) {
		if i == 0 && slices.Contains([]string{kit.Tree + "/bin", "$JAVA_HOME/bin", "${JAVA_HOME}/bin"}, path.Dir(word)) {
			continue // a program of it
		}
		if strings.Contains(word, kit.Tree) || strings.Contains(word, "JAVA_HOME") {
			return fmt.Sprintf("it uses Java's own directory (%s)", word)
		}
	}
	if slices.Contains([]string{"cd", "pushd", "mkdir", "echo", "printf", "test", "[", "[["}, c.Name()) {
		return "" // paths alone
	}
	for i, word := range c.Words {
		if i == 0 || i == len(c.Words)-1 && !recursive(c) { // files that get there have other names
			continue
		}
		if reason := reaches(kit, word, dir); reason != "" {
			return fmt.Sprintf("%s works on %s", c.Name(), reason)
		}
	}
	return ""
}

// reaches says that a word names a directory that has a mount in it.
func reaches(kit Kit, word, dir string) string {
	word = strings.TrimPrefix(strings.TrimPrefix(word, "--directory="), "-C")
	if word == "" || strings.HasPrefix(word, "-") || word == "." {
		return ""
	}
	at := within(dir, word)
	for _, mount := range kit.Mounts {
		if strings.HasPrefix(at, mount.Target+"/") {
			return fmt.Sprintf("%s, where the native tools are", word)
		}
		for parent := mount.Target; ; parent = path.Dir(parent) {
			if hit, _ := path.Match(at, parent); hit {
				return fmt.Sprintf("%s, which has the native tools in it", word)
			}
			if parent == "/" {
				break
			}
		}
	}
	return ""
}

// within is a path as seen from a directory.
func within(dir, name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join("/", dir, name)
}
