package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/containerd/platforms"

	"github.com/mabuild/mabuild/emulation"
)

// Run executes programs of the architectures with the handlers that apply to the
// calling process, and returns a result for each, in the order of opts.Arches.
// That an architecture fails is not an error; that no program can be executed at
// all is one.
func Run(ctx context.Context, opts Options) ([]Result, error) {
	arches := opts.Arches
	if len(arches) == 0 {
		arches = emulation.Arches()
	}
	bench, err := newBench(opts.Dir)
	if err != nil {
		return nil, &emulation.Error{
			Op: "preparing the programs to run", Err: err,
			Hint: "set TMPDIR to a directory that you can write to",
		}
	}
	defer bench.close()
	own, ownErr := emulation.Lookup(emulation.Native()[0])
	// Every file is written before anything is executed: a process that is being
	// started meanwhile has them open for writing, and that is ETXTBSY for others.
	install := arches
	if ownErr == nil {
		install = append([]emulation.Arch{own}, arches...)
	}
	for _, arch := range install {
		if err := bench.install(arch); err != nil {
			return nil, &emulation.Error{Op: "writing the program for " + arch.Name, Err: err}
		}
	}
	if ownErr == nil {
		bench.baseline = bench.check(ctx, own)
		if run := bench.baseline.Check(CheckRun); run.Outcome == Failed {
			return nil, &emulation.Error{
				Op:   "running a program of this machine in " + bench.dir,
				Err:  errors.New(run.Detail),
				Hint: "set TMPDIR to a directory on a file system that is not mounted noexec",
			}
		}
	}
	results := make([]Result, len(arches))
	slots := make(chan struct{}, runtime.NumCPU())
	var group sync.WaitGroup
	for i, arch := range arches {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			results[i] = bench.check(ctx, arch)
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return results, nil
}

// bench is the directory with the programs.
type bench struct {
	dir string
	// other is the user and the group that starts setuid programs; 0 if there is
	// none, and then noOther says why.
	other    uint32
	noOther  string
	baseline Result // of this machine's own program; zero if there is none
}

func newBench(parent string) (*bench, error) {
	dir, err := os.MkdirTemp(parent, "mabuild-probe-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir}
	b.other, b.noOther = otherID()
	if b.other == 0 {
		return b, nil
	}
	err = os.Chown(dir, 0, int(b.other))
	if err == nil {
		err = os.Chmod(dir, 0o710)
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) }

// install makes a root directory for the architecture with its programs in it.
func (b *bench) install(arch emulation.Arch) error {
	program := Program(arch)
	if program == nil {
		return fmt.Errorf("%w: no program for it", emulation.ErrUnsupported)
	}
	dir := b.path(arch, "")
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		return nil // asked for twice, or this machine's own
	} else if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o711); err != nil { // whatever the umask
		return err
	}
	if err := write(b.path(arch, "program"), program, 0o711); err != nil {
		return err
	}
	if b.other == 0 {
		return nil
	}
	path := b.path(arch, "setuid")
	if err := write(path, program, 0o700); err != nil {
		return err
	}
	if err := os.Chown(path, 0, int(b.other)); err != nil {
		return err
	}
	// Readable for the group: without the flag O, QEMU has to open it itself.
	return os.Chmod(path, 0o750|fs.ModeSetuid)
}

// write makes a file with exactly that mode, whatever the umask.
func write(path string, content []byte, mode fs.FileMode) error {
	if err := os.WriteFile(path, content, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

func (b *bench) path(arch emulation.Arch, name string) string {
	return filepath.Join(b.dir, arch.Name, name)
}

// check tries everything with one architecture.
func (b *bench) check(ctx context.Context, arch emulation.Arch) Result {
	result := Result{Arch: arch.Name, Platform: platforms.Format(arch.Platform), Native: arch.Native()}
	var runs bool
	for _, name := range Names() {
		check := Check{Name: name, Outcome: Skipped}
		switch base := b.baseline.Check(name); {
		case name != CheckRun && !runs:
			check.Detail = "the program does not run"
		case name == CheckSetuid && b.other == 0:
			check.Detail = b.noOther
		case base.Outcome == Failed || base.Outcome == Skipped:
			check.Detail = "this machine's own programs cannot do it here either: " + base.Detail
		default:
			check.Outcome, check.Detail = b.try(ctx, arch, name)
		}
		if name == CheckRun {
			runs = check.Outcome == Passed
		}
		if check.Outcome == Failed {
			check.Meaning = meaning(name)
		}
		result.Checks = append(result.Checks, check)
	}
	if !result.Native && runs {
		if version, err := Version(ctx, arch); err == nil {
			result.QEMU = version.String()
		}
	}
	return result
}
