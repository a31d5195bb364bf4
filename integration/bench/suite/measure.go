package suite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mabuild/mabuild/integration/bench/report"
	"github.com/mabuild/mabuild/integration/bench/rig"
)

// round is one case being measured.
type round struct {
	Case
	*bench
	context string
	last    map[string]pushed // by client
}

// pushed is what a client should have left in the registry.
type pushed struct {
	repository, stamp string
	stdout            []byte
}

// measure runs all clients in a case, round by round, and checks what they pushed.
func (b *bench) measure(ctx context.Context, c Case) ([]report.Row, error) {
	m := &round{
		Case: c, bench: b, last: map[string]pushed{},
		context: filepath.Join(b.dir, "context-"+slug(c.Name)),
	}
	if err := WriteContext(m.context, c.Files); err != nil {
		return nil, err
	}
	defer os.RemoveAll(m.context)
	if c.Big > 0 {
		if err := writeBig(m.context, c.Big); err != nil {
			return nil, err
		}
	}
	all := clients(b.Mabuild, b.Tools)
	series := make([]report.Series, len(all))
	for i, client := range all {
		series[i].Tool = client.name
	}
	first, last := 0, b.Runs // round 0 fills caches
	if c.Rounds > 0 {
		first, last = 1, c.Rounds
	}
	for n := first; n <= last; n++ {
		b.Logger.Info("measuring", "case", c.Name, "round", n, "of", last)
		for k := range all {
			which := (n + k) % len(all)
			result, err := m.run(ctx, all[which], n)
			if err != nil {
				return nil, err
			}
			if n > 0 {
				series[which].Samples = append(series[which].Samples,
					report.Sample{Elapsed: result.Elapsed, Peak: result.Peak})
			}
		}
	}
	for _, client := range all {
		if err := m.check(ctx, client.name); err != nil {
			return nil, fmt.Errorf("checking what %s pushed: %w", client.name, err)
		}
	}
	return report.Summarise(c.Name, buildx, series), nil
}

// slug is the name of a repository for a case.
func slug(name string) string {
	return strings.ToLower(strings.NewReplacer(" ", "-", ",", "", ".", "-").Replace(name))
}

// run prepares what the case asks for and runs one client.
func (m *round) run(ctx context.Context, c client, n int) (rig.Result, error) {
	push := pushed{repository: slug(m.Name), stamp: "unchanged"}
	if m.Change {
		push.stamp = fmt.Sprintf("round %d of %s", n, c.name)
		if err := WriteStamp(m.context, push.stamp); err != nil {
			return rig.Result{}, err
		}
	}
	if m.Cold {
		push.repository = fmt.Sprintf("%s-%d-%s", push.repository, n, c.name)
		if err := m.prune(ctx); err != nil {
			return rig.Result{}, err
		}
	}
	result, err := m.runner.Run(ctx, c.command(job{
		address: m.daemon.Address(), platforms: m.Platforms, context: m.context,
		reference: m.registry.Addr + "/" + push.repository + ":" + c.name,
	})...)
	if err != nil {
		return rig.Result{}, err
	}
	push.stdout = result.Stdout
	m.last[c.name] = push
	m.Logger.Debug("ran", "client", c.name, "seconds", result.Elapsed.Seconds(), "peak", report.MiB(result.Peak))
	return result, nil
}

// prune empties BuildKit's cache and sees that it is empty.
func (b *bench) prune(ctx context.Context) error {
	buildctl := []string{b.Tools.Buildctl, "--addr", b.daemon.Address()}
	if _, err := b.runner.Run(ctx, append(buildctl, "prune", "--all")...); err != nil {
		return err
	}
	left, err := b.runner.Run(ctx, append(buildctl, "du", "--format", "{{range .}}{{.ID}} {{end}}")...)
	if err != nil {
		return err
	}
	if records := bytes.Fields(left.Stdout); len(records) > 0 {
		return fmt.Errorf("pruning BuildKit's cache: %d records are left, the run would not be cold: leave other clients out", len(records))
	}
	return nil
}

// check reads back what a client pushed last: an index of the case's platforms,
// each with an image whose stamp is that of this client's last run.
func (m *round) check(ctx context.Context, name string) error {
	push := m.last[name]
	image, err := m.registry.Image(ctx, push.repository, name)
	if err != nil {
		return err
	}
	if err := rig.CheckPlatforms(image.Manifests, m.Platforms); err != nil {
		return err
	}
	for _, desc := range image.Manifests {
		stamp, err := image.File(ctx, desc, stampInContext)
		if err != nil {
			return err
		}
		if string(stamp) != push.stamp {
			return fmt.Errorf("comparing %s of %s: it is %q, not %q", stampInContext, desc.Digest, stamp, push.stamp)
		}
	}
	if name == mabuild && !bytes.Contains(push.stdout, []byte(image.Digest)) {
		return fmt.Errorf("comparing the digest: the tag is %s, printed was %q", image.Digest, push.stdout)
	}
	return nil
}
