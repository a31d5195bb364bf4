package host

import (
	"context"
	"errors"
	"io/fs"

	"github.com/mabuild/mabuild/emulation"
)

// Uninstall takes back what [Install] did, as the package documentation says.
// Its result and its errors are like those of Install. Architectures that were
// asked for and are not installed are no error, and neither is a table that is
// not mounted: then there are just files to remove.
func Uninstall(ctx context.Context, opts Options) ([]Change, error) {
	wanted, err := arches(opts.Platforms)
	if err != nil {
		return nil, err
	}
	table, err := emulation.Open(opts.Table)
	if err == nil {
		err = table.Writable()
	}
	if errors.Is(err, emulation.ErrNotMounted) {
		table, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, unlock, err := open(ctx, opts, table)
	if err != nil {
		return nil, err
	}
	defer unlock()
	changes, err := each(ctx, wanted, s.uninstall)
	if len(opts.Platforms) > 0 {
		return changes, err
	}
	var done []Change
	for _, c := range changes {
		if c.Action != NotInstalled {
			done = append(done, c)
		}
	}
	return done, err
}

// uninstall does one architecture. What cannot be undone stays in the state, for
// another try.
func (s *session) uninstall(arch emulation.Arch, change *Change) error {
	files, err := s.unpersist(arch)
	if err != nil {
		return err
	}
	mine := s.state.find(arch.Name)
	if mine == nil {
		if change.Action = NotInstalled; files {
			change.Action = Removed
			change.note("no longer registered at boot")
		}
		return nil
	}
	change.Action, change.Handler, change.Interpreter = Removed, mine.Handler.Name, mine.Handler.Interpreter
	if s.table != nil {
		if err := s.giveBack(*mine, change); err != nil {
			return err
		}
	}
	s.state.drop(arch.Name)
	return s.state.save(s.opts.State)
}

// giveBack removes the entry's handler and restores what it replaced.
func (s *session) giveBack(mine entry, change *Change) error {
	switch h, err := s.table.Handler(mine.Handler.Name); {
	case errors.Is(err, fs.ErrNotExist):
		change.note("it was gone already")
	case err != nil:
		return err
	case h.Difference(mine.Handler.Handler) == "":
		if err := s.table.Remove(h.Name); err != nil {
			return err
		}
	default:
		change.note("%q is %s's now and stays", h.Name, s.origins.owner(h).Name)
	}
	var errs []error
	for _, r := range mine.Replaced {
		if _, err := s.table.Handler(r.Handler.Name); err == nil {
			continue // back already, or somebody else's place now
		}
		if err := s.restore(r); err != nil {
			errs = append(errs, err)
			continue
		}
		change.note("%q is back: %s", r.Handler.Name, r.Handler.Interpreter)
	}
	return errors.Join(errs...)
}
