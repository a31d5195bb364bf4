package toolbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gofrs/flock"
)

// View is the directory that a step gets at [dispatch.Dir], held until it is
// released. Tools that are installed meanwhile come to it; nothing that is in it is
// changed or leaves it.
type View struct {
	Dir    string
	Policy string // version of the policy that its tools are chosen by

	store *Store
	name  string
	lock  *flock.Flock
	first manifest // of when it was got
}

// Contents is what a view has, or had at a moment.
type Contents struct {
	Boxes []string // digests of the toolboxes that it is made of

	files map[string]string // paths by sha256
	tools map[string]Tool   // by build-id
}

// Contents returns what the view has by now. With an error, because somebody has
// removed the store for example, it is what the view had when it was got.
func (v *View) Contents() (Contents, error) {
	m, err := v.store.readManifest(v.name)
	if err != nil {
		m, err = v.first, &Error{Op: "reading what native tools there are", Err: err}
	}
	c := Contents{Boxes: m.Boxes, files: make(map[string]string), tools: make(map[string]Tool)}
	for _, f := range m.Files {
		c.files[f.SHA256] = f.Path
	}
	for _, t := range m.Tools {
		if !t.Other {
			c.tools[t.BuildID] = t
		}
	}
	return c, err
}

// Has reports whether a file with that sha256 in hexadecimal is a part of the view,
// and which one.
func (c Contents) Has(sha256 string) (string, bool) {
	name, ok := c.files[sha256]
	return name, ok
}

// Tool returns what a program with a build-id is replaced with.
func (c Contents) Tool(buildID string) (Tool, bool) {
	tool, ok := c.tools[buildID]
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
// proven, or all. Where there are none yet, it is empty. With [ErrDamaged] the step is
// to run without.
func (s *Store) View(arch string, all bool) (*View, error) {
	view, err := s.viewOrMake(arch, all)
	if err != nil {
		return nil, &Error{Op: "getting the native tools for " + arch, Err: err, Hint: "Run `mabuild toolbox prune --all`; toolboxes are made anew when they are wanted."}
	}
	return view, nil
}

func (s *Store) viewOrMake(arch string, all bool) (*View, error) {
	if !isWord(arch) {
		return nil, fmt.Errorf("%q is no architecture", arch)
	}
	for range 100 { // others install and prune meanwhile
		view, err := s.view(viewOf(arch, all))
		if err == nil || !errors.Is(err, errBehind) {
			return view, err
		}
		err = s.change(context.Background(), func() error { return s.refresh(arch) })
		if err != nil {
			return nil, err
		}
	}
	return nil, errBehind
}

// errBehind: a view is not there, was made by another policy, or lacks what a process
// that was killed had begun to put into it.
var errBehind = errors.New("the view is to be made")

// view returns the current view of an architecture and class.
func (s *Store) view(class string) (*View, error) {
	name, err := s.currentName(class)
	if err != nil {
		return nil, err
	}
	lock := flock.New(s.path(viewsDir, name+".lock"))
	var m manifest
	err = lock.RLock()
	if err == nil {
		m, err = s.readManifest(name)
	}
	if err == nil {
		err = s.check(name, m)
	}
	if err == nil {
		return &View{Dir: s.path(viewsDir, name), Policy: PolicyVersion(), store: s, name: name, lock: lock, first: m}, nil
	}
	_ = lock.Unlock()
	if errors.Is(err, fs.ErrNotExist) {
		err = errBehind // pruned between the link and the lock
	}
	return nil, err
}

// currentName returns the name of the current view of an architecture and class.
func (s *Store) currentName(class string) (string, error) {
	link, err := os.Readlink(s.path(currentDir, class))
	if errors.Is(err, fs.ErrNotExist) {
		return "", errBehind
	}
	if err != nil {
		return "", err
	}
	name := filepath.Base(link)
	if !isWord(name) {
		return "", fmt.Errorf("%w: %q is the current view", ErrDamaged, name)
	}
	return name, nil
}

// manifest is what is kept beside a view.
type manifest struct {
	Policy string   `json:"policy"`
	Boxes  []string `json:"boxes"`
	Tools  []Tool   `json:"tools"`
	Files  []File   `json:"files"`
	// Known are the toolboxes that were looked at for it, of all architectures.
	Known []string `json:"known"`
}

// check looks whether a view is whole and has all that it can have.
func (s *Store) check(name string, m manifest) error {
	dir := s.path(viewsDir, name)
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	known, err := s.boxNames()
	if err != nil {
		return err
	}
	if m.Policy != PolicyVersion() || slices.ContainsFunc(known, func(box string) bool { return !slices.Contains(m.Known, box) }) {
		return errBehind
	}
	if err := checkFiles(dir, m.Files); err != nil {
		return fmt.Errorf("%s: %w", strings.ReplaceAll(err.Error(), dir, ""), ErrDamaged)
	}
	for _, tool := range m.Tools {
		if _, err := os.Lstat(filepath.Join(dir, tool.dir(), tool.BuildID)); err != nil {
			return errBehind
		}
	}
	return nil
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
		// No view ever gets this name again, so whoever waits for the lock finds nothing.
		for _, file := range []string{name + ".json", name + ".lock"} {
			if removeErr := os.Remove(s.path(viewsDir, file)); !errors.Is(removeErr, fs.ErrNotExist) {
				err = errors.Join(err, removeErr)
			}
		}
		if err = errors.Join(err, lock.Unlock()); err != nil {
			return gone, kept, err
		}
		gone = append(gone, name)
	}
	return gone, kept, nil
}
