package toolbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
)

// Store is the directory with the toolboxes of an engine. Several processes may use
// it at once:
//
//	boxes/DIGEST/           a toolbox, as it was made
//	views/ARCH-CLASS-N/     what steps get: toolboxes merged, by hard links; it only grows
//	views/ARCH-CLASS-N.json what is in it
//	views/ARCH-CLASS-N.lock held shared by who uses the view
//	current/ARCH-CLASS      link to the view of today
//	lock                    held by who changes any of this
//
// Whatever is half done has a name that begins with a dot and is removed by the next
// that holds the lock.
type Store struct {
	dir string
}

// Open returns the store at a directory, which need not be there yet.
func Open(dir string) *Store { return &Store{dir: dir} }

// Installed is a toolbox in a store.
type Installed struct {
	Digest  string // sha256 of its box.json, in hexadecimal
	Time    time.Time
	Box     *Box // nil if that cannot be read
	Current bool // steps are given something of it
	Damage  error
}

const (
	boxesDir   = "boxes"
	viewsDir   = "views"
	currentDir = "current"
	unfinished = ".new-"
)

func (s *Store) path(names ...string) string {
	return filepath.Join(append([]string{s.dir}, names...)...)
}

// change runs a function while no other process changes the store, and cleans up
// first what one has left that was killed.
func (s *Store) change(ctx context.Context, do func() error) error {
	for _, dir := range []string{boxesDir, viewsDir, currentDir} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			return err
		}
	}
	lock := flock.New(s.path("lock"))
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		return fmt.Errorf("waiting for another process that changes %s: %w", s.dir, err)
	}
	defer func() { _ = lock.Unlock() }()
	for _, dir := range []string{boxesDir, viewsDir, currentDir} {
		left, err := filepath.Glob(s.path(dir, unfinished+"*"))
		if err != nil {
			return err
		}
		for _, name := range left {
			if err := os.RemoveAll(name); err != nil {
				return err
			}
		}
	}
	return do()
}

// lockPoll is how often a lock is tried again: flock(2) does not end with a context.
const lockPoll = 10 * time.Millisecond

// List returns the toolboxes, the newest first, and says which are damaged.
func (s *Store) List() ([]Installed, error) {
	boxes, err := s.list()
	if err != nil {
		return nil, &Error{Op: "listing the toolboxes", Err: err}
	}
	used := s.currentBoxes()
	for i := range boxes {
		boxes[i].Current = used[boxes[i].Digest]
	}
	return boxes, nil
}

func (s *Store) list() ([]Installed, error) {
	entries, err := os.ReadDir(s.path(boxesDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var boxes []Installed
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !entry.IsDir() || !isHex(entry.Name(), 32) {
			continue // pruned meanwhile, or not ours
		}
		box := Installed{Digest: entry.Name(), Time: info.ModTime()}
		box.Box, box.Damage = s.read(entry.Name())
		boxes = append(boxes, box)
	}
	slices.SortStableFunc(boxes, func(a, b Installed) int { return b.Time.Compare(a.Time) })
	return boxes, nil
}

// boxNames are the digests of all toolboxes, sorted.
func (s *Store) boxNames() ([]string, error) {
	entries, err := os.ReadDir(s.path(boxesDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, entry := range entries {
		if isHex(entry.Name(), 32) {
			names = append(names, entry.Name())
		}
	}
	return names, err
}

// read returns a toolbox's description, and an error beside it if the files are not
// what it says, as far as that can be seen without reading them.
func (s *Store) read(digest string) (*Box, error) {
	text, err := os.ReadFile(s.path(boxesDir, digest, BoxName))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if digestOf(text) != digest {
		return nil, fmt.Errorf("%w: its %s has been changed", ErrDamaged, BoxName)
	}
	box, err := ParseBox(text)
	if err != nil {
		return nil, err
	}
	return box, checkFiles(s.path(boxesDir, digest), box.Files)
}

// checkFiles compares files with their list by size, mode and time, which is zero for
// all that a toolbox is installed with: whoever writes to one sets its time.
func checkFiles(dir string, files []File) error {
	for _, f := range files {
		info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(f.Path)))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if info.Mode() != f.Mode || info.Size() != f.Size || !info.ModTime().Equal(time.Unix(0, 0)) {
			return fmt.Errorf("%w: %s has been changed", ErrDamaged, f.Path)
		}
	}
	return nil
}

// Tool returns what a program with a build-id is replaced with by the newest toolbox
// that has something for it.
func (s *Store) Tool(buildID string) (Tool, bool, error) {
	boxes, err := s.list()
	if err != nil {
		return Tool{}, false, &Error{Op: "looking for build-id " + buildID, Err: err}
	}
	for _, box := range boxes {
		if box.Box == nil {
			continue
		}
		for _, tool := range box.Box.Tools {
			if tool.BuildID == buildID {
				return tool, true, nil
			}
		}
	}
	return Tool{}, false, nil
}

// PruneOptions say what is deleted.
type PruneOptions struct {
	// All deletes every toolbox, not only those that steps are given nothing of.
	All bool
}

// Pruned is what a store was freed of.
type Pruned struct {
	Boxes []Installed
	Views []string
	Kept  []string // views that steps are using right now
}

// Prune deletes toolboxes that newer ones have taken the place of, and views that
// nobody uses. What a running step has stays until another prune.
func (s *Store) Prune(ctx context.Context, o PruneOptions) (Pruned, error) {
	var pruned Pruned
	err := s.change(ctx, func() (err error) {
		pruned, err = s.prune(o)
		return err
	})
	if err != nil {
		return pruned, &Error{Op: "pruning the toolboxes", Err: err}
	}
	return pruned, nil
}

func (s *Store) prune(o PruneOptions) (Pruned, error) {
	var pruned Pruned
	boxes, err := s.list()
	if err != nil {
		return pruned, err
	}
	if o.All {
		if err := s.forget(); err != nil {
			return pruned, err
		}
	}
	used := s.currentBoxes()
	for _, box := range boxes {
		if used[box.Digest] && box.Damage == nil {
			continue
		}
		// Views have the same files by other names, so they stay whole.
		if err := removeWhole(s.path(boxesDir, box.Digest)); err != nil {
			return pruned, err
		}
		pruned.Boxes = append(pruned.Boxes, box)
	}
	if err := s.refreshAll(); err != nil {
		return pruned, err
	}
	pruned.Views, pruned.Kept, err = s.pruneViews()
	return pruned, err
}

// forget takes all links to current views away.
func (s *Store) forget() error {
	links, err := filepath.Glob(s.path(currentDir, "*"))
	if err != nil {
		return err
	}
	for _, link := range links {
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// removeWhole deletes a directory so that a half of it is never taken for the whole.
func removeWhole(dir string) error {
	hidden := filepath.Join(filepath.Dir(dir), unfinished+"gone-"+filepath.Base(dir))
	if err := os.Rename(dir, hidden); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(hidden)
}
