package host

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/emulation"
)

// Options say what [Install] and [Uninstall] do.
type Options struct {
	// Table is where binfmt_misc is mounted; empty is [emulation.DefaultDir].
	Table string
	// State is the state file; it has to be named.
	State string
	// Platforms are the platforms to install or uninstall. None means all: those
	// that have a QEMU, or those that were installed.
	Platforms []ocispec.Platform
	// ConfigDir is where the files for systemd-binfmt go; empty is
	// [DefaultConfigDir].
	ConfigDir string
	// Sources are where other registrations come from; zero are the system's.
	Sources Sources

	// Dirs is where to look for QEMU; empty is PATH. Uninstall does not look.
	Dirs []string
	// Mount mounts binfmt_misc where it is not mounted.
	Mount bool
	// Persist makes the handlers come back at every boot.
	Persist bool
	// Replace takes the places of other QEMU handlers.
	Replace bool
}

// Action is what was done for an architecture.
type Action string

// The actions.
const (
	Installed    Action = "installed"
	Updated      Action = "updated"       // ours, with another QEMU or other flags
	Replaced     Action = "replaced"      // installed in the place of others
	Unchanged    Action = "unchanged"     // what was wanted was there
	Kept         Action = "kept"          // somebody else's runs the architecture
	Native       Action = "native"        // the machine runs it itself
	NoQEMU       Action = "no-qemu"       // nothing to install, and not asked for by name
	Removed      Action = "removed"       // and what it had replaced is back
	NotInstalled Action = "not-installed" // nothing of ours to remove
	Failing      Action = "failed"
)

// Change is what [Install] or [Uninstall] did for one architecture.
type Change struct {
	// Arch is QEMU's name of the architecture.
	Arch     string `json:"arch"`
	Platform string `json:"platform"`
	Handler  string `json:"handler"`
	Action   Action `json:"action"`
	// Interpreter and QEMU are those of the handler that was installed.
	Interpreter string `json:"interpreter,omitempty"`
	QEMU        string `json:"qemu,omitempty"`
	// Notes say what else there is to know, such as what a kept handler lacks.
	Notes []string `json:"notes,omitempty"`
	// Err is why it failed; it is in the function's error too.
	Err error `json:"-"`
}

func (c *Change) note(format string, args ...any) {
	c.Notes = append(c.Notes, fmt.Sprintf(format, args...))
}

// session is one run of Install or Uninstall, with the lock held.
type session struct {
	opts    Options
	table   *emulation.Table // nil for Uninstall where nothing is mounted
	state   state
	origins origins
}

// open takes the lock and reads the state. The caller has to call unlock.
func open(ctx context.Context, opts Options, table *emulation.Table) (s *session, unlock func(), err error) {
	unlock, err = lock(ctx, opts.State)
	if err != nil {
		return nil, nil, &emulation.Error{Op: fmt.Sprintf("locking %q", opts.State), Err: err, Hint: "run the command as root"}
	}
	s = &session{opts: opts, table: table}
	if s.opts.ConfigDir == "" {
		s.opts.ConfigDir = DefaultConfigDir
	}
	err = sweep(opts.State)
	if err == nil {
		s.state, err = loadState(opts.State)
	}
	if err != nil {
		unlock()
		return nil, nil, err
	}
	s.origins = readOrigins(opts.Sources, s.state)
	return s, unlock, nil
}

// each does the same for every architecture, sorts out the failures and returns
// what was done. One failure does not stop the others; the end of ctx does.
func each(ctx context.Context, arches []emulation.Arch, do func(emulation.Arch, *Change) error) ([]Change, error) {
	var changes []Change
	var errs []error
	for _, arch := range arches {
		if err := context.Cause(ctx); err != nil {
			return changes, errors.Join(append(errs, err)...)
		}
		change := Change{Arch: arch.Name, Platform: platforms.Format(arch.Platform), Handler: arch.Handler("").Name}
		if err := do(arch, &change); err != nil {
			change.Action, change.Err = Failing, err
			errs = append(errs, fmt.Errorf("%s: %w", change.Platform, err))
		}
		changes = append(changes, change)
	}
	return changes, errors.Join(errs...)
}

// arches returns the architectures of the platforms, in the order of the table
// and each once; all of them for no platforms.
func arches(list []ocispec.Platform) ([]emulation.Arch, error) {
	if len(list) == 0 {
		return emulation.Arches(), nil
	}
	names := make(map[string]bool)
	var errs []error
	for _, platform := range list {
		arch, err := emulation.Lookup(platform)
		errs = append(errs, err)
		names[arch.Name] = true
	}
	return slices.DeleteFunc(emulation.Arches(), func(a emulation.Arch) bool { return !names[a.Name] }), errors.Join(errs...)
}
