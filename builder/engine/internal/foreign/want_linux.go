package foreign

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/util/bklog"
	"github.com/moby/buildkit/util/progress"
	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// wantAfter is how long a step runs before it is worth to make tools for it: those that
// are made in seconds, and those that take half a minute of all processors.
var wantAfter = [...]time.Duration{3 * time.Second, 20 * time.Second}

// Wants returns the releases of toolboxes that steps on a root file system could have
// and that are not there; with all those, too, that must be asked for. The function reads
// files of it.
type Wants func(architecture string, all bool, read func(name string) ([]byte, error)) ([]string, error)

// want tells the client what tools the step could have had.
func (r *run) want(ctx context.Context) {
	if r.worker.wants == nil || r.root == nil || r.mode.assist == dispatch.AssistOff {
		return
	}
	suites, err := r.worker.wants(r.emulator.Architecture, r.mode.assist == dispatch.AssistAll, r.root.read)
	if err != nil {
		bklog.G(ctx).WithError(err).Info("looking for the tools that an emulated step could have")
	}
	if len(suites) == 0 {
		return
	}
	text, err := json.Marshal(dispatch.Want{Architecture: r.emulator.Architecture, Suites: suites, Long: r.wanted == len(wantAfter)})
	if err != nil {
		bklog.G(ctx).WithError(err).Warn("writing what tools an emulated step could have")
		return
	}
	send(ctx, dispatch.WantStatus, r.began, text)
}

// send writes a progress status of the step, whose id starts with kind.
func send(ctx context.Context, kind string, began time.Time, text []byte) {
	writer, ok, _ := progress.NewFromContext(ctx)
	if !ok {
		return
	}
	defer writer.Close()
	now := time.Now()
	if err := writer.Write(kind+identity.NewID(), progress.Status{Action: string(text), Started: &began, Completed: &now}); err != nil {
		bklog.G(ctx).WithError(err).Warnf("sending %s", kind)
	}
}

// maxRead is more than any description of a distribution has.
const maxRead = 32 << 20

// read returns a file of the step's, which may be writing to it: it follows no link
// out of the file system, and waits for nobody.
func (r *rootfs) read(name string) ([]byte, error) {
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading %s: it is no file", name)
	}
	return io.ReadAll(io.LimitReader(file, maxRead))
}
