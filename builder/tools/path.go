package tools

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/mabuild/mabuild/emulation"
)

const (
	runcName   = "runc"
	sourcePath = "path" // Tool.Source of what was on PATH
)

// onPath looks for a tool on this machine.
func (o Options) onPath(ctx context.Context, w want) (Tool, error) {
	if o.Mode == ImageOnly {
		return Tool{}, errors.New("PATH is not to be used")
	}
	var path string
	var err error
	if w.arch != nil {
		path, err = w.arch.FindQEMU()
	} else {
		path, err = findRunc(ctx)
	}
	return Tool{Path: path, Source: sourcePath}, err
}

// findRunc returns the runc that the engine would choose: mabuild-runc beside this
// program, then buildkit-runc or runc on PATH. Beyond that it looks where Debian
// has runc, which isn't on the PATH of ordinary users.
func findRunc(ctx context.Context) (string, error) {
	candidates := []string{"buildkit-runc", "runc"}
	if exe, err := os.Executable(); err == nil {
		candidates = append([]string{filepath.Join(filepath.Dir(exe), "mabuild-runc")}, candidates...)
	}
	candidates = append(candidates, "/usr/local/sbin/runc", "/usr/sbin/runc", "/sbin/runc")
	var tried []error
	for _, name := range candidates {
		path, err := exec.LookPath(name)
		if err != nil || !filepath.IsAbs(path) {
			continue
		}
		if err := checkRunc(ctx, path); err != nil {
			tried = append(tried, err)
			continue
		}
		return path, nil
	}
	if len(tried) == 0 {
		tried = append(tried, errors.New("there is no runc"))
	}
	return "", errors.Join(tried...)
}

// neverError says why tools that may come from PATH alone are missing.
func neverError(missing []want, reasons []error) error {
	var texts []string
	for _, reason := range reasons {
		var described *emulation.Error
		if errors.As(reason, &described) {
			reason = described.Err // without its hint
		}
		texts = append(texts, reason.Error())
	}
	return &Error{
		Op: "looking for " + names(missing), Err: fmt.Errorf("%w: %s", ErrMissing, strings.Join(texts, "; ")),
		Hint: installHint(missing) + ", or let mabuild take it from an image: MABUILD_TOOLS=path",
	}
}
