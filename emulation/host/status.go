package host

import (
	"context"
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/containerd/platforms"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/probe"
)

// Access says what the caller can do with a table.
type Access string

// The kinds of access.
const (
	Writable     Access = "writable"
	ReadOnly     Access = "read-only"     // its mount is read-only, for everybody
	NoPermission Access = "no-permission" // it can be read; changing it takes root
	Unreadable   Access = "unreadable"    // the caller may not even look
	NotMounted   Access = "not-mounted"
	Unsupported  Access = "unsupported" // not a Linux, or one without binfmt_misc
)

// Status is what there is to know about a table. Its JSON is stable: fields are
// added, never renamed or removed.
type Status struct {
	// Dir is where the table is mounted.
	Dir    string `json:"dir"`
	Access Access `json:"access"`
	// Enabled is the switch for all handlers at once.
	Enabled bool `json:"enabled"`
	// Problem says why the access is not "writable"; Hint what to do about it.
	Problem string `json:"problem,omitempty"`
	Hint    string `json:"hint,omitempty"`
	// Kernel is the kernel's release.
	Kernel string `json:"kernel,omitempty"`
	// Handlers are sorted by name.
	Handlers []Handler `json:"handlers"`
	// Missing are the platforms of [emulation.Arches] that this machine runs in
	// containers neither itself nor with one of the handlers.
	Missing []string `json:"missing"`
}

// Handler is a handler in a [Status].
type Handler struct {
	Name        string         `json:"name"`
	Kind        emulation.Kind `json:"kind"`
	Enabled     bool           `json:"enabled"`
	Interpreter string         `json:"interpreter"`
	Flags       string         `json:"flags"`
	// Platform is that of the programs it takes, if images have one for it.
	Platform string `json:"platform,omitempty"`
	// QEMU is the version of the QEMU that runs them, if it is one and said so. For
	// programs that images have no platform for, nobody asks it.
	QEMU  string `json:"qemu,omitempty"`
	Owner Owner  `json:"owner"`
	// Level is the worst of the verdicts': ok, note, warning or broken. Handlers
	// that are not QEMU's have none.
	Level    emulation.Level     `json:"level"`
	Verdicts []emulation.Verdict `json:"verdicts"`
}

// StatusOptions say what [Inspect] looks at.
type StatusOptions struct {
	// Table is where binfmt_misc is mounted; empty is [emulation.DefaultDir].
	Table string
	// State is the state file of [Install]; empty is none.
	State string
	// Sources are where registrations come from; zero are the system's.
	Sources Sources
	// Foreign is set for a table that does not apply to the calling process, such
	// as the one of an engine, seen through /proc/PID/root: it cannot be asked
	// what its handlers run, only their files can.
	Foreign bool
}

// Inspect describes a table. It needs no privilege, changes nothing, and runs
// QEMUs just to ask for their versions. A table that cannot be read is not an
// error but a [Status] that says so.
func Inspect(ctx context.Context, opts StatusOptions) (Status, error) {
	if opts.Table == "" {
		opts.Table = emulation.DefaultDir
	}
	status := Status{
		Dir: opts.Table, Access: Writable, Kernel: emulation.KernelRelease(),
		Handlers: []Handler{}, Missing: []string{},
	}
	table, err := emulation.Open(opts.Table)
	if err != nil {
		status.explain(err, Unreadable)
		status.addMissing(nil)
		return status, nil
	}
	if status.Enabled, err = table.Enabled(); err != nil {
		return status, err
	}
	if err := table.Writable(); err != nil {
		status.explain(err, NoPermission)
	}
	handlers, err := table.Handlers()
	if err != nil {
		status.explain(err, Unreadable)
	}
	facts := gather(ctx, opts.Table, handlers, opts.Foreign)
	facts.Kernel, facts.Disabled = status.Kernel, !status.Enabled
	if err := context.Cause(ctx); err != nil {
		return status, err
	}
	saved, _ := loadState(opts.State) // for the owners' names only
	origins := readOrigins(opts.Sources, saved)
	judged := emulation.Judge(handlers, facts)
	for _, j := range judged {
		status.Handlers = append(status.Handlers, describe(j, origins.owner(j.Handler)))
	}
	status.addMissing(judged)
	return status, nil
}

// explain takes over why the table cannot be used as wished; forbidden is what
// a lack of permission means here.
func (s *Status) explain(err error, forbidden Access) {
	switch {
	case errors.Is(err, emulation.ErrReadOnly):
		s.Access = ReadOnly
	case errors.Is(err, emulation.ErrNotMounted):
		s.Access = NotMounted
	case errors.Is(err, emulation.ErrUnsupported):
		s.Access = Unsupported
	default:
		s.Access = forbidden
	}
	s.Problem, s.Hint = err.Error(), ""
	if e := (*emulation.Error)(nil); errors.As(err, &e) {
		s.Problem, s.Hint = e.Err.Error(), e.Hint
	}
}

func (s *Status) addMissing(judged []emulation.Judgement) {
	for _, arch := range emulation.Arches() {
		runs := slices.ContainsFunc(judged, func(j emulation.Judgement) bool {
			// What is not QEMU's is not judged; it counts as working.
			return j.Arch.Name == arch.Name && j.Level != emulation.Broken && j.Handler.Enabled && s.Enabled
		})
		if !runs && !arch.Native() {
			s.Missing = append(s.Missing, platforms.Format(arch.Platform))
		}
	}
}

func describe(j emulation.Judgement, owner Owner) Handler {
	h := Handler{
		Name: j.Handler.Name, Kind: j.Kind, Enabled: j.Handler.Enabled, Interpreter: j.Handler.Interpreter,
		Flags: j.Handler.Flags, Owner: owner, Level: j.Level, Verdicts: j.Verdicts,
	}
	if h.Verdicts == nil {
		h.Verdicts = []emulation.Verdict{}
	}
	if j.Arch.Name != "" {
		h.Platform = platforms.Format(j.Arch.Platform)
	}
	if j.Version.Major != 0 {
		h.QEMU = j.Version.String()
	}
	return h
}

// gather finds out what [emulation.Judge] wants to know, all at the same time
// and each interpreter once.
func gather(ctx context.Context, table string, handlers []emulation.Handler, foreign bool) emulation.Facts {
	facts := emulation.Facts{
		Native:       emulation.Native(),
		Interpreters: make(map[string]emulation.Interpreter),
		Running:      make(map[string]emulation.Version),
	}
	var group sync.WaitGroup
	var mutex sync.Mutex
	asked := make(map[string]bool) // by interpreter: whether to ask for its version
	for _, h := range handlers {
		if emulation.KindOf(h) == emulation.QEMU {
			asked[h.Interpreter] = asked[h.Interpreter] || takesImages(h)
		}
	}
	for path, ask := range asked {
		group.Go(func() {
			interpreter := inspectInterpreter(ctx, path, ask)
			mutex.Lock()
			defer mutex.Unlock()
			facts.Interpreters[path] = interpreter
		})
	}
	for _, arch := range emulation.Arches() {
		h, ok := runnerOf(arch, handlers)
		if !ok || foreign || !changedSince(table, h) {
			continue
		}
		group.Go(func() {
			version, err := probe.Version(ctx, arch)
			if err != nil {
				return // the file's version has to do
			}
			mutex.Lock()
			defer mutex.Unlock()
			facts.Running[h.Name] = version
		})
	}
	group.Wait()
	return facts
}

// runnerOf returns the handler that runs the architecture's programs, if there
// is no doubt about it and it keeps its interpreter open: otherwise the file at
// its path says enough.
func runnerOf(arch emulation.Arch, handlers []emulation.Handler) (emulation.Handler, bool) {
	var found []emulation.Handler
	for _, h := range handlers {
		if h.Enabled && h.Matches(arch.Magic) {
			found = append(found, h)
		}
	}
	if len(found) != 1 || emulation.KindOf(found[0]) != emulation.QEMU || !found[0].Has('F') {
		return emulation.Handler{}, false
	}
	return found[0], true
}

// changedSince reports whether the handler's interpreter may be another file than
// the one that was there when it was registered, which is when its file in the
// table was made.
func changedSince(table string, h emulation.Handler) bool {
	registered, err := os.Stat(filepath.Join(table, h.Name))
	if err != nil {
		return true
	}
	now, err := os.Stat(h.Interpreter)
	return err != nil || !statusChange(now).Before(registered.ModTime())
}

// takesImages reports whether the handler takes programs of a platform of images.
// Debian registers 20 others, and running them all takes a while.
func takesImages(h emulation.Handler) bool {
	return slices.ContainsFunc(emulation.Arches(), func(a emulation.Arch) bool { return h.Matches(a.Magic) })
}

func inspectInterpreter(ctx context.Context, path string, ask bool) emulation.Interpreter {
	file, err := elf.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return emulation.Interpreter{Missing: true}
	}
	// What is not an ELF program needs another interpreter, or is none.
	interpreter := emulation.Interpreter{Dynamic: !errors.Is(err, fs.ErrPermission)}
	if err == nil {
		defer file.Close()
		interpreter.Machine = file.Machine
		interpreter.Dynamic = slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
	}
	if !ask {
		return interpreter
	}
	interpreter.Version, interpreter.Failure = emulation.QEMUVersion(ctx, path)
	if e := (*emulation.Error)(nil); errors.As(interpreter.Failure, &e) {
		interpreter.Failure = e.Err
	}
	return interpreter
}
