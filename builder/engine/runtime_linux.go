package engine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// findRuntime returns the runc to use: the one that the configuration names, or
// mabuild-runc beside the program, or buildkit-runc or runc on PATH. It must
// have libseccomp, because BuildKit hands every container a seccomp profile.
func findRuntime(configured string) (string, error) {
	candidates := []string{configured}
	if configured == "" {
		candidates = []string{"buildkit-runc", "runc"}
		if exe, err := os.Executable(); err == nil {
			candidates = append([]string{filepath.Join(filepath.Dir(exe), "mabuild-runc")}, candidates...)
		}
	}
	var tried []string
	for _, name := range candidates {
		path, err := exec.LookPath(name)
		if err != nil {
			tried = append(tried, name+" is not there")
			continue
		}
		if path, err = filepath.Abs(path); err != nil {
			return "", err
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
