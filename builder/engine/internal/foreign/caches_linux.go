package foreign

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/moby/buildkit/executor"
	"golang.org/x/sys/unix"
)

// searchCaches looks for tools in what was written to the step's cache mounts while it
// ran, and deletes them: a cache outlives the step, so that running it once more would
// not make good what it left there. Another step that has the same cache at the same time
// may have left them, or loses them; it has to expect both from a cache.
func (r *run) searchCaches(ctx context.Context, s *scanner, mounts []executor.Mount, leak *LeakError) error {
	s.changedSince(r.began)
	s.leaked = func(dir *os.File, name, path string) {
		err := unix.Unlinkat(int(dir.Fd()), name, 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			leak.Kept = &fs.PathError{Op: "unlink", Path: path, Err: err}
		}
	}
	var errs []error
	for _, m := range mounts {
		if m.Readonly || !r.repeatable.caches[m.Dest] {
			continue
		}
		err := withDir(ctx, m.Src, func(dir string) error { return s.part(dir, m.Selector, m.Dest) })
		if err != nil {
			errs = append(errs, fmt.Errorf("searching the cache at %s: %w", m.Dest, err))
		}
	}
	return errors.Join(errs...)
}

// part looks at a directory in another, that the step has at a path. Links on the way to
// it are of steps, so that they must not lead out of the other.
func (s *scanner) part(dir, name, at string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	part, err := root.OpenFile(path.Join(".", name), unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer part.Close()
	return s.walk(part, strings.TrimSuffix(at, "/"))
}
