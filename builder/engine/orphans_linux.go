package engine

import (
	"context"
	"os/exec"
	"strings"

	"github.com/moby/buildkit/util/bklog"
)

// orphans are containers that run on although nobody is connected. BuildKit leaves
// one when a build is cancelled in the moment in which runc starts it: it kills runc
// and not yet the container.
type orphans struct{ runtime string }

// list returns the ids of the containers that runc knows.
func (o orphans) list(ctx context.Context) []string {
	out, err := exec.CommandContext(ctx, o.runtime, "list", "--quiet").Output()
	if err != nil {
		bklog.L.WithError(err).Debug("listing containers")
		return nil
	}
	return strings.Fields(string(out))
}

// end kills them.
func (o orphans) end(ctx context.Context, ids []string) {
	for _, id := range ids {
		bklog.L.Warnf("ending container %s, which a cancelled build left", id)
		if out, err := exec.CommandContext(ctx, o.runtime, "delete", "--force", id).CombinedOutput(); err != nil {
			bklog.L.WithError(err).Warnf("ending container %s: %s", id, out)
		}
	}
}
