package foreign

import (
	"sync"

	digest "github.com/opencontainers/go-digest"
)

// maxDenied bounds what an engine remembers; an engine that forgets runs a step
// once more with tools.
const maxDenied = 10_000

// denied are the steps that get no tools: they failed with them. The zero value is
// ready to use.
type denied struct {
	mu    sync.Mutex
	steps map[digest.Digest]bool
}

func (d *denied) add(step digest.Digest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.steps == nil || len(d.steps) >= maxDenied {
		d.steps = map[digest.Digest]bool{}
	}
	d.steps[step] = true
}

func (d *denied) has(step digest.Digest) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.steps[step]
}
