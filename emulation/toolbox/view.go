package toolbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// View is the directory that a step gets at [dispatch.Dir], held until it is
// released.
type View struct {
	Dir    string
	Digest string   // names its contents: sha256 in hexadecimal
	Policy string   // version of the policy that its tools were chosen by
	Boxes  []string // digests of the toolboxes that it was made of

	files map[string]string // paths by sha256
	tools map[string]Tool   // by build-id
	lock  *flock.Flock
}

// Has reports whether a file with that sha256 in hexadecimal is a part of the view,
// and which one.
func (v *View) Has(sha256 string) (string, bool) {
	name, ok := v.files[sha256]
	return name, ok
}

// Tool returns what a program with a build-id is replaced with.
func (v *View) Tool(buildID string) (Tool, bool) {
	tool, ok := v.tools[buildID]
	return tool, ok
}

// Release ends the use of a view, which may then be pruned.
func (v *View) Release() error { return v.lock.Unlock() }

// viewOf says which view: of an architecture, of proven tools or of all.
func viewOf(arch string, all bool) string {
	if all {
		return arch + "-all"
	}
	return arch + "-" + string(Proven)
}

// View returns the tools for steps of an architecture, as Go calls it: those that are
// proven, or all. It is nil where there are none. With [ErrDamaged] the step is to
// run without.
func (s *Store) View(arch string, all bool) (*View, error) {
	view, err := s.view(arch, all)
	if errors.Is(err, errOtherPolicy) {
		err = s.change(context.Background(), func() error { return s.refresh(arch) })
		if err == nil {
			view, err = s.view(arch, all)
		}
	}
	if err != nil {
		return nil, &Error{Op: "getting the native tools for " + arch, Err: err, Hint: "Run `mabuild toolbox prune --all`; toolboxes are made anew when they are wanted."}
	}
	return view, nil
}

// errOtherPolicy: a view was made by a mabuild with another policy.
var errOtherPolicy = errors.New("made by another policy")

func (s *Store) view(arch string, all bool) (*View, error) {
	for range 100 { // a view can be replaced and pruned between the link and the lock
		name, err := os.Readlink(s.path(currentDir, viewOf(arch, all)))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil //nolint:nilnil // that there is no view is no error
		}
		if err != nil {
			return nil, err
		}
		if name = filepath.Base(name); !isWord(name) {
			return nil, fmt.Errorf("%w: %q is the current view", ErrDamaged, name)
		}
		lock := flock.New(s.path(viewsDir, name+".lock"))
		if err := lock.RLock(); err != nil {
			return nil, err
		}
		view, err := s.open(name, lock)
		if err == nil {
			return view, nil
		}
		_ = lock.Unlock()
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: the current view is not there", ErrDamaged)
}

// manifest is what is kept beside a view.
type manifest struct {
	Digest string   `json:"digest"`
	Policy string   `json:"policy"`
	Boxes  []string `json:"boxes"`
	Tools  []Tool   `json:"tools"`
	Files  []File   `json:"files"`
}

// open returns a view whose lock is held.
func (s *Store) open(name string, lock *flock.Flock) (*View, error) {
	m, err := s.readManifest(name)
	if err != nil {
		return nil, err
	}
	if m.Policy != PolicyVersion() {
		return nil, errOtherPolicy
	}
	dir := s.path(viewsDir, name)
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	if err := checkFiles(dir, m.Files); err != nil {
		return nil, fmt.Errorf("%s: %w", strings.ReplaceAll(err.Error(), dir, ""), ErrDamaged)
	}
	view := &View{Dir: dir, Digest: m.Digest, Policy: m.Policy, Boxes: m.Boxes, files: make(map[string]string), tools: make(map[string]Tool), lock: lock}
	for _, f := range m.Files {
		view.files[f.SHA256] = f.Path
	}
	for _, t := range m.Tools {
		view.tools[t.BuildID] = t
	}
	return view, nil
}

func (s *Store) readManifest(name string) (manifest, error) {
	var m manifest
	text, err := os.ReadFile(s.path(viewsDir, name+".json"))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return m, nil
}

// currentBoxes are the toolboxes that steps are given something of.
func (s *Store) currentBoxes() map[string]bool {
	used := make(map[string]bool)
	links, _ := filepath.Glob(s.path(currentDir, "*")) // the pattern is right
	for _, link := range links {
		name, err := os.Readlink(link)
		if err != nil {
			continue
		}
		if m, err := s.readManifest(filepath.Base(name)); err == nil {
			for _, digest := range m.Boxes {
				used[digest] = true
			}
		}
	}
	return used
}

// pruneViews deletes the views that are not current, but for those in use.
func (s *Store) pruneViews() (gone, kept []string, err error) {
	current := make(map[string]bool)
	links, err := filepath.Glob(s.path(currentDir, "*"))
	if err != nil {
		return nil, nil, err
	}
	for _, link := range links {
		if name, err := os.Readlink(link); err == nil {
			current[filepath.Base(name)] = true
		}
	}
	entries, err := os.ReadDir(s.path(viewsDir))
	if err != nil {
		return nil, nil, err
	}
	for _, entry := range entries {
		name := entry.Name()
		if !entry.IsDir() || current[name] {
			continue
		}
		lock := flock.New(s.path(viewsDir, name+".lock"))
		if ok, err := lock.TryLock(); err != nil || !ok {
			kept = append(kept, name)
			continue
		}
		err := removeWhole(s.path(viewsDir, name))
		if err == nil {
			err = os.Remove(s.path(viewsDir, name+".json"))
		}
		// The lock file stays: whoever waits for it must not hold another one.
		if err = errors.Join(err, lock.Unlock()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return gone, kept, err
		}
		gone = append(gone, name)
	}
	return gone, kept, nil
}

// refreshAll makes the views of all architectures anew.
func (s *Store) refreshAll() error {
	boxes, err := s.list()
	if err != nil {
		return err
	}
	arches := make(map[string]bool)
	for _, box := range boxes {
		if box.Box != nil {
			arches[box.Box.Arch] = true
		}
	}
	for arch := range arches {
		if err := s.refresh(arch); err != nil {
			return err
		}
	}
	return nil
}

// refresh makes the views of an architecture and the links to them. The lock is held.
func (s *Store) refresh(arch string) error {
	boxes, err := s.list()
	if err != nil {
		return err
	}
	boxes = slices.DeleteFunc(boxes, func(b Installed) bool { return b.Damage != nil || b.Box.Arch != arch })
	for _, all := range []bool{false, true} {
		m := merge(boxes, all)
		link := s.path(currentDir, viewOf(arch, all))
		if len(m.manifest.Tools) == 0 {
			if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		name, err := s.makeView(arch, m)
		if err != nil {
			return fmt.Errorf("merging the toolboxes for %s: %w", arch, err)
		}
		fresh := s.path(currentDir, unfinished+filepath.Base(link))
		if err := os.Symlink(path.Join("..", viewsDir, name), fresh); err != nil {
			return err
		}
		if err := os.Rename(fresh, link); err != nil {
			return err
		}
	}
	return nil
}

// makeView writes a view, if it is not there, and returns its name.
func (s *Store) makeView(arch string, m merged) (string, error) {
	text, err := json.Marshal(m.manifest)
	if err != nil {
		return "", err
	}
	m.manifest.Digest = digestOf(text)
	if text, err = json.Marshal(m.manifest); err != nil {
		return "", err
	}
	name := arch + "-" + m.manifest.Digest
	final := s.path(viewsDir, name)
	if _, err := os.Stat(final); err == nil && checkFiles(final, m.manifest.Files) == nil {
		return name, writeWhole(s.path(viewsDir, name+".json"), text)
	}
	dir, err := os.MkdirTemp(s.path(viewsDir), unfinished)
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := m.write(s.path(boxesDir), dir); err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	if err := removeWhole(final); err != nil {
		return "", err
	}
	if err := writeWhole(s.path(viewsDir, name+".json"), text); err != nil {
		return "", err
	}
	return name, os.Rename(dir, final)
}

// writeWhole writes a file that nobody ever sees a half of.
func writeWhole(name string, text []byte) error {
	fresh := filepath.Join(filepath.Dir(name), unfinished+filepath.Base(name))
	if err := os.WriteFile(fresh, text, 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, name)
}

// linkFile gives a file another name, or where that cannot be a copy.
func linkFile(from, to string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, data, mode); err != nil {
		return err
	}
	return errors.Join(os.Chmod(to, mode), os.Chtimes(to, time.Unix(0, 0), time.Unix(0, 0)))
}
