package toolbox

import (
	"bytes"
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
)

// Where the stub looks for build-ids in a view: first, and where the libraries of a
// root file system do not go with what is there.
const (
	idDir    = "id"
	otherDir = "or"
)

// refreshAll brings the views of all architectures up to date.
func (s *Store) refreshAll() error {
	boxes, err := s.list()
	if err != nil {
		return err
	}
	links, err := filepath.Glob(s.path(currentDir, "*"))
	if err != nil {
		return err
	}
	arches := make(map[string]bool)
	for _, box := range boxes {
		if box.Box != nil {
			arches[box.Box.Arch] = true
		}
	}
	for _, link := range links {
		arch, _, _ := strings.Cut(filepath.Base(link), "-")
		arches[arch] = true
	}
	for arch := range arches {
		if err := s.refresh(arch); err != nil {
			return err
		}
	}
	return nil
}

// refresh brings the views of an architecture up to date. The lock is held.
func (s *Store) refresh(arch string) error {
	known, err := s.boxNames()
	if err != nil {
		return err
	}
	boxes, err := s.list()
	if err != nil {
		return err
	}
	boxes = slices.DeleteFunc(boxes, func(b Installed) bool { return b.Damage != nil || b.Box.Arch != arch })
	basesFirst(boxes)
	for _, all := range []bool{false, true} {
		if err := s.refreshView(viewOf(arch, all), boxes, all, known); err != nil {
			return fmt.Errorf("merging the toolboxes for %s: %w", arch, err)
		}
	}
	return nil
}

// refreshView adds to the current view what goes with all that it has; steps which
// have it already see that at once. If it then is not what it would be, made of
// nothing, another view takes its place for the steps to come.
func (s *Store) refreshView(class string, boxes []Installed, all bool, known []string) error {
	wanted := merge(boxes, all, manifest{})
	wanted.manifest.Known = known
	if name, m, ok := s.intact(class); ok {
		grown := merge(boxes, all, m)
		grown.manifest.Known = known
		if err := s.grow(name, grown); err != nil {
			return err
		}
		if same, err := wanted.manifest.same(grown.manifest); err != nil || same {
			return err
		}
	}
	dir, err := os.MkdirTemp(s.path(viewsDir), class+"-")
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	name := filepath.Base(dir)
	if err := s.grow(name, wanted); err != nil {
		return err
	}
	fresh := s.path(currentDir, unfinished+class)
	if err := os.Symlink(path.Join("..", viewsDir, name), fresh); err != nil {
		return err
	}
	return os.Rename(fresh, s.path(currentDir, class))
}

// same compares as the files are: lists that are empty are not told apart.
func (m manifest) same(other manifest) (bool, error) {
	a, err := json.Marshal(m)
	if err != nil {
		return false, err
	}
	b, err := json.Marshal(other)
	return bytes.Equal(a, b), err
}

// intact returns the current view if it can grow.
func (s *Store) intact(class string) (name string, m manifest, ok bool) {
	name, err := s.currentName(class)
	if err == nil {
		m, err = s.readManifest(name)
	}
	return name, m, err == nil && m.Policy == PolicyVersion() && checkFiles(s.path(viewsDir, name), m.Files) == nil
}

// grow adds to a view: first the files, then what is known of them, and when all that
// is there the build-ids, by which alone tools are found. So a step sees a whole tool
// or none, and whoever is killed has left nothing that the next cannot complete.
func (s *Store) grow(name string, m merged) error {
	dir := s.path(viewsDir, name)
	if err := errors.Join(makeDirs(dir, idDir), makeDirs(dir, otherDir)); err != nil {
		return err
	}
	for _, f := range m.manifest.Files {
		if box := m.boxes[f.Path]; box != "" {
			if err := s.addFile(s.path(boxesDir, box), dir, f); err != nil {
				return err
			}
		}
	}
	text, err := json.Marshal(m.manifest)
	if err != nil {
		return err
	}
	if err := writeWhole(s.path(viewsDir, name+".json"), text); err != nil {
		return err
	}
	for _, tool := range m.manifest.Tools {
		if err := s.addNames(dir, tool); err != nil {
			return err
		}
	}
	return nil
}

// addFile gives a toolbox's file another name in a view, or where that cannot be a
// copy.
func (s *Store) addFile(box, view string, f File) error {
	name := filepath.FromSlash(f.Path)
	from, to := filepath.Join(box, name), filepath.Join(view, name)
	if err := makeDirs(view, filepath.Dir(name)); err != nil {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	source, err := os.Stat(from)
	if err != nil {
		return err
	}
	if there, err := os.Lstat(to); err == nil && os.SameFile(source, there) {
		return nil // of somebody who was killed
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	fresh := s.path(viewsDir, unfinished+"file")
	if err := os.WriteFile(fresh, data, f.Mode); err != nil {
		return err
	}
	if err := errors.Join(os.Chmod(fresh, f.Mode), os.Chtimes(fresh, time.Unix(0, 0), time.Unix(0, 0))); err != nil {
		return err
	}
	return os.Rename(fresh, to)
}

// addNames makes the directory of a build-id, if it is not there.
func (s *Store) addNames(view string, tool Tool) error {
	final := filepath.Join(view, tool.dir(), tool.BuildID)
	if _, err := os.Lstat(final); err == nil {
		return nil
	}
	fresh := s.path(viewsDir, unfinished+"id")
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := writeNames(fresh, tool); err != nil {
		return err
	}
	if err := os.Chmod(fresh, 0o755); err != nil {
		return err
	}
	return os.Rename(fresh, final)
}

// makeDirs makes directories that everybody can read, whatever the umask is.
func makeDirs(dir, name string) error {
	for part := range strings.SplitSeq(filepath.ToSlash(name), "/") {
		dir = filepath.Join(dir, part)
		err := os.Mkdir(dir, 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err = errors.Join(err, os.Chmod(dir, 0o755)); err != nil {
			return err
		}
	}
	return nil
}

// writeWhole writes a file that nobody ever sees a half of.
func writeWhole(name string, text []byte) error {
	fresh := filepath.Join(filepath.Dir(name), unfinished+filepath.Base(name))
	if err := os.WriteFile(fresh, text, 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, name)
}
