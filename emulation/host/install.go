package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/probe"
)

// Install registers handlers as the package documentation says. It returns what
// it did for each architecture, whose failures are joined in the error. It may
// be repeated, by several processes at once.
//
// Errors of the whole are [emulation.ErrNotMounted], [emulation.ErrReadOnly],
// [emulation.ErrPermission] and [emulation.ErrUnsupported]; of an architecture
// [emulation.ErrNoQEMU], if it was asked for or none has one, and
// [emulation.ErrExists] if a useless handler of somebody else has its name.
func Install(ctx context.Context, opts Options) ([]Change, error) {
	wanted, err := arches(opts.Platforms)
	if err != nil {
		return nil, err
	}
	table, err := openTable(opts)
	if err != nil {
		return nil, err
	}
	s, unlock, err := open(ctx, opts, table)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var missing error
	found := false
	changes, err := each(ctx, wanted, func(arch emulation.Arch, change *Change) error {
		err := s.install(ctx, arch, change)
		if len(opts.Platforms) == 0 && errors.Is(err, fs.ErrNotExist) && errors.Is(err, emulation.ErrNoQEMU) {
			change.Action, missing = NoQEMU, err
			return nil
		}
		found = found || change.Action != Native
		return err
	})
	if err == nil && !found {
		err = missing
	}
	return changes, err
}

// openTable opens the table for changes.
func openTable(opts Options) (*emulation.Table, error) {
	table, err := emulation.Open(opts.Table)
	if errors.Is(err, emulation.ErrNotMounted) && opts.Mount {
		if err := emulation.MountHost(opts.Table); err != nil && !errors.Is(err, emulation.ErrExists) {
			return nil, err
		}
		table, err = emulation.Open(opts.Table)
	}
	if e := (*emulation.Error)(nil); errors.Is(err, emulation.ErrNotMounted) && errors.As(err, &e) {
		return nil, &emulation.Error{Op: e.Op, Err: e.Err, Hint: e.Hint + ", or give --mount"}
	}
	if err != nil {
		return nil, err
	}
	if err := table.Writable(); err != nil {
		return nil, err
	}
	enabled, err := table.Enabled()
	if err == nil && !enabled {
		err = &emulation.Error{
			Op: "registering in " + table.Dir(), Err: errors.New("all handlers are switched off"),
			Hint: fmt.Sprintf("run `echo 1 | sudo tee %s/status`", table.Dir()),
		}
	}
	return table, err
}

// install does one architecture.
func (s *session) install(ctx context.Context, arch emulation.Arch, change *Change) error {
	if arch.Native() {
		change.Action = Native
		return nil
	}
	want, version, err := arch.FindHandler(ctx, s.opts.Dirs...)
	if err != nil {
		return s.keepWithoutQEMU(arch, change, err)
	}
	// Root of a user namespace is an ordinary user, whose programs these are.
	if namespaced, err := emulation.InUserNamespace(); err != nil || !namespaced {
		if err := errors.Join(err, checkTrusted(want.Interpreter)); err != nil {
			return err
		}
	}
	p, err := s.plan(ctx, arch, want)
	if err != nil {
		return err
	}
	change.Action = p.action
	if p.action == Kept {
		if err := s.keep(p.keeper, arch, change); err != nil || p.keeper.Kind != emulation.QEMU {
			return err
		}
	} else {
		change.Interpreter, change.QEMU = want.Interpreter, version.String()
	}
	if p.action != Kept && p.action != Unchanged {
		if err := s.take(ctx, arch, want, p, change); err != nil {
			return err
		}
	}
	if s.opts.Persist {
		return s.persist(arch, want, change)
	}
	return nil
}

// keepWithoutQEMU is what to do for an architecture that nothing can be
// installed for: nothing, if somebody else's handler runs it.
func (s *session) keepWithoutQEMU(arch emulation.Arch, change *Change, noQEMU error) error {
	handlers, err := s.table.Handlers()
	if err != nil {
		return err
	}
	serving, ok := arch.ServedBy(handlers)
	if !ok || !errors.Is(noQEMU, emulation.ErrNoQEMU) {
		return noQEMU
	}
	change.Action, change.Handler, change.Interpreter = Kept, serving.Name, serving.Interpreter
	owner := s.origins.owner(serving)
	change.note("registered by %s", owner.Name)
	if s.opts.Persist && !owner.Persistent() {
		change.note("does not come back at boot: there is no QEMU to register then")
	}
	return nil
}

// keep notes whose handler runs the architecture, and what it lacks.
func (s *session) keep(j emulation.Judgement, arch emulation.Arch, change *Change) error {
	change.Handler, change.Interpreter = j.Handler.Name, j.Handler.Interpreter
	if j.Version.Major != 0 {
		change.QEMU = j.Version.String()
	}
	change.note("registered by %s", s.origins.owner(j.Handler).Name)
	for _, v := range j.Verdicts {
		change.note("%s", v.Text)
	}
	if j.Level >= emulation.Warning {
		change.note("--replace takes its place")
	}
	// An entry from before a reboot, which has brought the old handler back.
	if mine := s.state.find(arch.Name); mine != nil && len(mine.Overrides) == 0 {
		s.state.drop(arch.Name)
		return s.state.save(s.opts.State)
	}
	return nil
}

// take puts the handler in the place of others, proves that it works, and puts
// everything back if it does not.
func (s *session) take(ctx context.Context, arch emulation.Arch, want emulation.Handler, p plan, change *Change) (err error) {
	next := entry{Arch: arch.Name, Handler: registration{want}}
	var before *entry
	if old := s.state.find(arch.Name); old != nil {
		saved := *old
		before = &saved
		next.Replaced, next.Overrides = slices.Clone(old.Replaced), old.Overrides
	}
	for _, h := range p.rivals {
		if err := next.remember(h, change); err != nil {
			return err
		}
	}
	s.state.put(next)
	if err := s.state.save(s.opts.State); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.rollBack(want, p.going(), before, next))
		}
	}()
	for _, h := range p.going() {
		if err := s.table.Remove(h.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := s.table.Register(want); err != nil {
		return err
	}
	return prove(ctx, arch)
}

// remember notes a handler that is going to be replaced. One whose interpreter
// is not on disk any more can never be registered again.
func (e *entry) remember(h emulation.Handler, change *Change) error {
	if _, err := h.Registration(); err != nil {
		return err
	}
	if _, err := os.Stat(h.Interpreter); err != nil {
		change.note("%q cannot be brought back: its interpreter %s is not on disk", h.Name, h.Interpreter)
		return nil
	}
	// After a reboot the same one may be there again.
	e.Replaced = slices.DeleteFunc(e.Replaced, func(r replaced) bool { return r.Handler.Name == h.Name })
	e.Replaced = append(e.Replaced, replaced{Handler: registration{h}, Disabled: !h.Enabled})
	return nil
}

// rollBack undoes take: it puts back the handlers that had to go and the entry
// that was there before.
func (s *session) rollBack(want emulation.Handler, gone []emulation.Handler, before *entry, next entry) error {
	var errs []error
	if h, err := s.table.Handler(want.Name); err == nil && h.Difference(want) == "" {
		errs = append(errs, s.table.Remove(want.Name))
	}
	for _, h := range gone {
		errs = append(errs, s.restore(replaced{Handler: registration{h}, Disabled: !h.Enabled}))
	}
	if before == nil {
		s.state.drop(next.Arch)
	} else {
		s.state.put(*before)
	}
	return errors.Join(append(errs, s.state.save(s.opts.State))...)
}

// restore registers a handler as it was.
func (s *session) restore(r replaced) error {
	if err := s.table.Register(r.Handler.Handler); err != nil {
		return fmt.Errorf("bringing back what was replaced: %w", err)
	}
	if r.Disabled {
		return s.table.Disable(r.Handler.Name)
	}
	return nil
}

// prove runs programs of the architecture.
func prove(ctx context.Context, arch emulation.Arch) error {
	results, err := probe.Run(ctx, probe.Options{Arches: []emulation.Arch{arch}})
	if err != nil {
		return err
	}
	var failures []string
	for _, c := range results[0].Checks {
		if c.Outcome == probe.Failed {
			failures = append(failures, c.Name+": "+c.Detail)
		}
	}
	if failures == nil {
		return nil
	}
	return &emulation.Error{
		Op: "proving that programs run", Handler: arch.Handler("").Name,
		Err:  fmt.Errorf("%w: %s", emulation.ErrNoQEMU, strings.Join(failures, "; ")),
		Hint: "it was not installed; try another QEMU",
	}
}
