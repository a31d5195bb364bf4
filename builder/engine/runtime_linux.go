package engine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// runtimeNames are what runc is called: beside this program, in BuildKit's packages,
// and everywhere else.
func runtimeNames() []string {
	names := []string{"buildkit-runc", "runc"}
	if exe, err := os.Executable(); err == nil {
		names = append([]string{filepath.Join(filepath.Dir(exe), "mabuild-runc")}, names...)
	}
	return names
}

// lookRuntime looks on PATH and where Debian's PATH of ordinary users does not lead.
func lookRuntime(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return filepath.Abs(path)
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil && !strings.Contains(name, "/") {
			return path, nil
		}
	}
	return "", err
}

// HasRuntime reports whether there is a runc on this machine. Whether the engine can
// use it is seen when it starts.
func HasRuntime() bool {
	for _, name := range runtimeNames() {
		if _, err := lookRuntime(name); err == nil {
			return true
		}
	}
	return false
}

// findRuntime returns the runc to use: the one that the configuration names, or
// mabuild-runc beside the program, or buildkit-runc or runc. It must have
// libseccomp, because BuildKit hands every container a seccomp profile.
func findRuntime(configured string) (string, error) {
	names := runtimeNames()
	if configured != "" {
		names = []string{configured}
	}
	var tried []string
	for _, name := range names {
		path, err := lookRuntime(name)
		if err != nil {
			tried = append(tried, name+" is not there")
			continue
		}
		if err := checkRuntime(path); err != nil {
			tried = append(tried, err.Error())
			continue
		}
		return path, nil
	}
	return "", &Error{
		Op:   "finding runc",
		Err:  fmt.Errorf("%w: %s", ErrNoRuntime, strings.Join(tried, "; ")),
		Hint: "Install it: apt-get install runc (or dnf install runc). crun does not serve: BuildKit calls `run --keep`.",
	}
}

func checkRuntime(path string) error {
	out, err := exec.Command(path, "--version").CombinedOutput() //nolint:noctx // milliseconds, at start only
	switch {
	case err != nil:
		return fmt.Errorf("%s --version: %w", path, err)
	case strings.HasPrefix(string(out), "crun"):
		return fmt.Errorf("%s is crun", path)
	case !strings.Contains(string(out), "libseccomp:"):
		return fmt.Errorf("%s was built without libseccomp", path)
	}
	return nil
}
