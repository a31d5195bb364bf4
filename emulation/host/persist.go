package host

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/mabuild/mabuild/emulation"
)

// persist makes systemd-binfmt register the handler at boot, unless somebody
// sees to that for the handler that was kept.
func (s *session) persist(arch emulation.Arch, want emulation.Handler, change *Change) error {
	mine := s.state.find(arch.Name)
	if mine == nil && s.persistent(change.Handler) {
		change.note("it comes back at boot already")
		return nil
	}
	text, err := formatConfig(want)
	if err != nil {
		return err
	}
	path := configPath(s.opts.ConfigDir, arch)
	if err := os.MkdirAll(s.opts.ConfigDir, 0o755); err != nil {
		return err
	}
	if err := sweep(path); err != nil {
		return fmt.Errorf("removing leftovers: %w", err)
	}
	if have, err := os.ReadFile(path); err != nil || string(have) != string(text) {
		if err := writeFile(path, text, 0o644); err != nil {
			return &emulation.Error{Op: fmt.Sprintf("writing %q", path), Err: err, Hint: "run the command as root"}
		}
	}
	change.note("comes back at boot: %s", path)
	if mine == nil {
		return nil
	}
	names := map[string]bool{want.Name: true}
	for _, r := range mine.Replaced {
		names[r.Handler.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if s.origins.supported(name) {
			change.note("binfmt-support registers another one at boot: run `update-binfmts --disable %s`", name)
		}
	}
	return s.override(arch, names)
}

// persistent reports whether the handler of that name that is in the table is
// registered at boot.
func (s *session) persistent(name string) bool {
	h, err := s.table.Handler(name)
	return err == nil && s.origins.owner(h).Persistent()
}

// override keeps the files of packages from registering handlers of these names
// at boot. systemd-binfmt goes through the files by name, and a later line with
// the same name takes the place of an earlier one.
func (s *session) override(arch emulation.Arch, names map[string]bool) error {
	var files []string
	for name := range names {
		for _, file := range s.origins.files[name] {
			if !isOurs(file) && !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	slices.Sort(files)
	for _, file := range files {
		if filepath.Dir(file) == filepath.Clean(s.opts.ConfigDir) {
			return &emulation.Error{
				Op:   "making the handler persistent",
				Err:  fmt.Errorf("%w: %q registers another one at boot", emulation.ErrExists, file),
				Hint: "remove its line for " + arch.Handler("").Name + ", which is the administrator's",
			}
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		path := filepath.Join(s.opts.ConfigDir, filepath.Base(file))
		// The entry first: a file that it does not have would stay for ever.
		mine := s.state.find(arch.Name)
		if !slices.Contains(mine.Overrides, path) {
			mine.Overrides = append(slices.Clone(mine.Overrides), path)
			if err := s.state.save(s.opts.State); err != nil {
				return err
			}
		}
		if err := sweep(path); err != nil {
			return err
		}
		if err := writeFile(path, without(text, names), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// unpersist removes the files for the architecture and what they override.
func (s *session) unpersist(arch emulation.Arch) (removed bool, err error) {
	paths := []string{configPath(s.opts.ConfigDir, arch)}
	if mine := s.state.find(arch.Name); mine != nil {
		paths = append(paths, mine.Overrides...)
	}
	var errs []error
	for _, path := range paths {
		errs = append(errs, sweep(path))
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) || !isOurs(path) {
			continue // somebody has made it his own since
		}
		gone, err := removeFile(path)
		removed = removed || gone
		errs = append(errs, err)
	}
	return removed, errors.Join(errs...)
}
