package emulation

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// RegisterOptions says what [Table.RegisterFound] registers.
type RegisterOptions struct {
	// Platforms are the platforms to register. If empty, these are all of
	// [Arches], as far as a QEMU for them is installed.
	Platforms []ocispec.Platform
	// Native are platforms that this machine's CPU runs, beside those that
	// [Native] returns, and for which nothing is registered.
	Native []ocispec.Platform
	// Dirs is where to look for QEMU. If empty, this is PATH.
	Dirs []string
}

// Registered is an architecture that the table runs.
type Registered struct {
	Arch    Arch
	Handler Handler
	// Existing is true for a handler that was there before. It is not touched,
	// even if it is somebody else's and has another name or fewer flags.
	Existing bool
	// Version is the QEMU's; zero for an existing handler.
	Version Version
}

// RegisterFound registers a handler for every architecture that this machine
// cannot run, is not in the table yet, and has a QEMU: by default with the
// flags POCF, and without P where the QEMU or the kernel is too old for it.
//
// It returns what the table then runs, in the order of [Arches]. One failing
// architecture does not stop the others, only the end of ctx does: the error
// joins an [Error] for each. An architecture without QEMU is an error if it was
// asked for in opts.Platforms; it is no error otherwise, unless there is no
// QEMU at all, which is [ErrNoQEMU].
func (t *Table) RegisterFound(ctx context.Context, opts RegisterOptions) ([]Registered, error) {
	enabled, err := t.Enabled()
	if err != nil {
		return nil, err
	}
	if !enabled {
		return nil, &Error{
			Op:   "registering in " + t.dir,
			Err:  errors.New("all handlers are switched off"),
			Hint: fmt.Sprintf("run `echo 1 | sudo tee %s/status`", t.dir),
		}
	}
	wanted, errs := opts.arches()
	existing, err := t.Handlers()
	errs = append(errs, err)

	var done []Registered
	var missing error
	for _, arch := range wanted {
		if h, ok := arch.ServedBy(existing); ok {
			done = append(done, Registered{Arch: arch, Handler: h, Existing: true})
			continue
		}
		path, unusable := arch.findQEMU(opts.Dirs)
		if path == "" {
			err := arch.noQEMU(unusable)
			if unusable == nil && len(opts.Platforms) == 0 {
				missing = err
			} else {
				errs = append(errs, err)
			}
			continue
		}
		registered, err := t.registerQEMU(ctx, arch, path)
		if err != nil && context.Cause(ctx) != nil {
			return done, err
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		done = append(done, registered)
	}
	err = errors.Join(errs...)
	if len(done) == 0 && err == nil && missing != nil {
		err = missing
	}
	return done, err
}

func (t *Table) registerQEMU(ctx context.Context, arch Arch, path string) (Registered, error) {
	h, version, err := arch.handlerFor(ctx, path)
	if err != nil {
		return Registered{}, err
	}
	if err := t.Register(h); err != nil {
		return Registered{}, err
	}
	return Registered{Arch: arch, Handler: h, Version: version}, nil
}

// handlerFor returns the handler for the QEMU at path, with the flags that suit
// it.
func (a Arch) handlerFor(ctx context.Context, path string) (Handler, Version, error) {
	version, err := QEMUVersion(ctx, path)
	if err != nil {
		return Handler{}, Version{}, err
	}
	h := a.Handler(path)
	if version.Arch != a.Name {
		return Handler{}, Version{}, &Error{
			Op: "registering", Handler: h.Name,
			Err:  fmt.Errorf("%w: %q emulates %s", ErrNoQEMU, path, version.Arch),
			Hint: "reinstall it: run `apt-get install --reinstall qemu-user-static`",
		}
	}
	if !preservesArgv0(KernelRelease(), version) {
		h.Flags = strings.ReplaceAll(h.Flags, "P", "")
	}
	return h, version, nil
}

// arches returns the architectures to register, in the table's order.
func (opts RegisterOptions) arches() ([]Arch, []error) {
	var errs []error
	names := make(map[string]bool)
	for _, platform := range opts.Platforms {
		arch, err := Lookup(platform)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		names[arch.Name] = true
	}
	native := slices.Concat(Native(), opts.Native)
	return slices.DeleteFunc(Arches(), func(a Arch) bool {
		return a.isAmong(native) || len(opts.Platforms) > 0 && !names[a.Name]
	}), errs
}

// isAmong reports whether the architecture is that of one of the platforms.
func (a Arch) isAmong(list []ocispec.Platform) bool {
	return slices.ContainsFunc(list, func(p ocispec.Platform) bool {
		p = platforms.Normalize(p)
		return p.OS == a.Platform.OS && p.Architecture == a.Platform.Architecture
	})
}

// Native returns the platforms that this machine runs without emulation: its
// own, and linux/386 on amd64. It asks the kernel where that answers (Linux
// 6.1), so that it is right even if this program itself is being emulated.
//
// linux/arm on arm64 is not among them: many arm64 CPUs have no 32-bit mode,
// and on one that has it a program under QEMU is slow, but right. Say so in
// [RegisterOptions] where the CPU is known to run it.
func Native() []ocispec.Platform {
	return nativePlatforms(hostArchitecture(kernelArchitecture(), runtime.GOARCH))
}

// Native reports whether this machine runs the architecture's programs itself,
// see the function [Native].
func (a Arch) Native() bool { return a.isAmong(Native()) }

func nativePlatforms(architecture string) []ocispec.Platform {
	native := []ocispec.Platform{{OS: "linux", Architecture: architecture}}
	if architecture == "amd64" {
		native = append(native, ocispec.Platform{OS: "linux", Architecture: "386"})
	}
	return native
}

// hostArchitecture translates the kernel's name of its architecture, which is
// that of uname -m. An unknown or ambiguous one, as "mips64" for both byte
// orders, gives the architecture of this program.
func hostArchitecture(kernel, program string) string {
	if strings.HasPrefix(kernel, "arm") {
		return "arm"
	}
	for _, arch := range Arches() {
		if kernel == arch.Name && arch.Name != "mips64" {
			return arch.Platform.Architecture
		}
	}
	return program
}

// preservesArgv0 reports whether the interpreter can tell that its handler has
// the flag P. Without that it takes the program's argv[0] for its argv[1]. The
// kernel tells it since Linux 5.12 (AT_FLAGS), QEMU understands since 6.0.
func preservesArgv0(release string, version Version) bool {
	return version.Major >= 6 && kernelAtLeast(release, 5, 12)
}

// kernelAtLeast reports whether a kernel's release, such as "6.1.0-18-amd64",
// is at least the version. One that cannot be read counts as new.
func kernelAtLeast(release string, major, minor int) bool {
	var haveMajor, haveMinor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &haveMajor, &haveMinor); n != 2 {
		return true
	}
	return haveMajor > major || haveMajor == major && haveMinor >= minor
}
