package buildkit

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/platforms"
)

// output passes on what a program writes. What begins like runc's complaint about a
// program that it cannot start is kept until the exit code tells whether it is one.
type output struct {
	to   io.Writer
	any  bool // something was passed on
	kept []byte
}

// What runc writes, at once, when it cannot start a program: before it has made the
// container, and in it.
var complaints = regexp.MustCompile(`^(?:runc run failed: unable to start container process: (.+)|(exec /\S+: (?:exec format error|no such file or directory|permission denied)))\s*$`)

// maxKept is more than runc writes.
const maxKept = 4096

func (o *output) Write(p []byte) (int, error) {
	if !o.any && o.kept == nil && len(p) <= maxKept && complaints.Match(p) {
		o.kept = slices.Clone(p)
		return len(p), nil
	}
	if err := o.flush(); err != nil {
		return 0, err
	}
	o.any = true
	return o.to.Write(p)
}

func (o *output) flush() error {
	kept := o.kept
	o.kept = nil
	if len(kept) == 0 {
		return nil
	}
	_, err := o.to.Write(kept)
	return err
}

func (o *output) Close() error { return nil }

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// startFailure returns the shell's code for a program that could not be started and
// why, or the program's own.
func (r *containerRun) startFailure() (int, error) {
	for _, out := range []*output{&r.stdout, &r.stderr} { // a terminal has one for both
		found := complaints.FindSubmatch(out.kept)
		if found == nil || r.code == 0 {
			if err := out.flush(); err != nil {
				return r.code, err
			}
			continue
		}
		text := strings.TrimSpace(string(found[1]) + string(found[2]))
		failure := &Error{Platform: &r.Platform, Err: fmt.Errorf("starting the program: %s", text)}
		switch {
		case containsAny(text, []string{"executable file not found", noSuchFile}):
			failure.Hint = "Look what the image has, and give the program's path or another one with --entrypoint."
			return codeNotFound, failure
		case strings.Contains(text, wrongFormat):
			failure.Hint = "The program is not made for " + platforms.Format(r.Platform) + ", or is a script without #!."
		}
		return codeNotExecutable, failure
	}
	return r.code, nil
}
