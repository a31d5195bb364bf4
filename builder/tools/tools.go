package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/emulation"
)

// Mode says where tools may come from.
type Mode string

// The modes, in the spelling of the environment variable MABUILD_TOOLS.
const (
	// PathFirst takes what is on PATH, and the rest from images.
	PathFirst Mode = "path"
	// ImageOnly takes everything from images.
	ImageOnly Mode = "image"
	// Never takes nothing from images: what is not on PATH is missing.
	Never Mode = "never"
)

// ParseMode reads a mode; "" is [PathFirst].
func ParseMode(text string) (Mode, error) {
	switch mode := Mode(text); mode {
	case "":
		return PathFirst, nil
	case PathFirst, ImageOnly, Never:
		return mode, nil
	}
	return "", fmt.Errorf("reading the mode %q: there is none of that name; write %s, %s or %s", text, PathFirst, ImageOnly, Never)
}

// Registry reads images. [github.com/mabuild/mabuild/builder/registry.Client] is
// one, and its errors are understood.
type Registry interface {
	// Resolve returns the descriptor of the manifest or index that ref names.
	Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error)
	// Fetch returns a manifest, an index or a configuration from the repository
	// of ref. The descriptor of a manifest may have a digest alone.
	Fetch(ctx context.Context, ref string, desc ocispec.Descriptor) ([]byte, error)
	// Open returns a reader of a layer from the repository of ref.
	Open(ctx context.Context, ref string, desc ocispec.Descriptor) (io.ReadCloser, error)
}

// Options say where tools come from. The zero value finds what is on PATH or in
// the cache.
type Options struct {
	// Mode is the order of places. Default: [PathFirst].
	Mode Mode
	// Images name the images. Default: those of [Images].
	Images Images
	// Dir is the cache, with the lock file. Default: mabuild/tools in the user's
	// cache folder ($XDG_CACHE_HOME).
	Dir string
	// Registry reads images. Nil: there is none, as with Offline.
	Registry Registry
	// Offline leaves the registry alone: the cache must have what PATH lacks.
	Offline bool
	// Refresh asks the registry what the tags name now, and changes the lock file
	// accordingly. Without it a tag is resolved once.
	Refresh bool
	// Logger hears at level Info what is downloaded. Default: none.
	Logger *slog.Logger
}

// Needs are the wanted tools.
type Needs struct {
	Runc bool
	QEMU []string // architectures as QEMU spells them: aarch64
}

// Tool is a program on this machine.
type Tool struct {
	// Path is absolute.
	Path string
	// Source is "path", or the image with the digest of its manifest.
	Source string
}

// Paths are the tools that were found.
type Paths struct {
	Runc Tool            // empty if it is not needed
	QEMU map[string]Tool // by architecture
}

// Dirs returns the folders of the QEMUs, for [emulation.RegisterOptions], whose
// Platforms should be set as well: a folder may have other QEMUs, which nobody
// has verified.
func (p Paths) Dirs() []string {
	var dirs []string
	for _, tool := range p.QEMU {
		dirs = append(dirs, filepath.Dir(tool.Path))
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// want is one wanted tool.
type want struct {
	name  string          // of its file in the cache
	arch  *emulation.Arch // nil for runc
	image string          // the reference of the image to take it from
	files []string        // where images have it; the first one counts
}

// Find returns the tools that are needed, each from PATH or from an image as
// opts.Mode says. Nothing is downloaded for a tool that is on PATH or in the cache.
//
// The error is an [Error], or joins one for each image; it is what ends ctx, if
// that ends first. Beside the sentinels it wraps the registry's error.
func Find(ctx context.Context, opts Options, needs Needs) (Paths, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return Paths{}, err
	}
	wants, err := opts.wants(needs)
	if err != nil {
		return Paths{}, err
	}
	found := map[string]Tool{}
	var missing []want
	var reasons []error
	for _, w := range wants {
		tool, err := opts.onPath(ctx, w)
		switch {
		case err == nil:
			found[w.name] = tool
		case context.Cause(ctx) != nil:
			return Paths{}, context.Cause(ctx)
		default:
			missing, reasons = append(missing, w), append(reasons, err)
		}
	}
	if len(missing) > 0 && opts.Mode == Never {
		return Paths{}, neverError(missing, reasons)
	}
	if len(missing) > 0 {
		if err := opts.fromImages(ctx, missing, found); err != nil {
			return Paths{}, err
		}
	}
	paths := Paths{QEMU: map[string]Tool{}}
	for _, w := range wants {
		if w.arch == nil {
			paths.Runc = found[w.name]
		} else {
			paths.QEMU[w.arch.Name] = found[w.name]
		}
	}
	return paths, nil
}

func (o Options) withDefaults() (Options, error) {
	var err error
	if o.Mode, err = ParseMode(string(o.Mode)); err != nil {
		return o, err
	}
	if o.Images, err = o.Images.normalize(); err != nil {
		return o, err
	}
	if o.Dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil && o.Mode != Never {
			return o, &Error{Op: "finding the cache folder", Err: err, Hint: "set XDG_CACHE_HOME or HOME"}
		}
		o.Dir = filepath.Join(cache, "mabuild", "tools")
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return o, fmt.Errorf("finding the cache folder: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// wants returns the needed tools, each once: QEMU first, in the given order.
func (o Options) wants(needs Needs) ([]want, error) {
	arches := emulation.Arches()
	var wants []want
	for _, name := range needs.QEMU {
		i := slices.IndexFunc(arches, func(a emulation.Arch) bool { return a.Name == name })
		if i < 0 {
			return nil, &Error{
				Op:   "looking for QEMU for " + name,
				Err:  errors.New("it is no architecture that QEMU runs programs of"),
				Hint: "spell it as QEMU does: " + archNames(arches),
			}
		}
		file := "qemu-" + name
		if slices.ContainsFunc(wants, func(w want) bool { return w.name == file }) {
			continue
		}
		wants = append(wants, want{
			name: file, arch: &arches[i], image: o.Images.QEMU,
			// The second is where Debian's package and images made from it have it.
			files: []string{"/usr/bin/" + file, "/usr/bin/" + file + "-static"},
		})
	}
	if needs.Runc {
		wants = append(wants, want{
			name: runcName, image: o.Images.Runc,
			files: []string{"/usr/bin/buildkit-runc", "/usr/bin/runc", "/usr/sbin/runc", "/usr/local/sbin/runc"},
		})
	}
	return wants, nil
}

func archNames(arches []emulation.Arch) string {
	var text string
	for i, arch := range arches {
		if i > 0 {
			text += ", "
		}
		text += arch.Name
	}
	return text
}

// hostPlatform is the platform whose programs this machine's kernel runs itself.
func hostPlatform() ocispec.Platform {
	host := emulation.Native()[0]
	if own := platforms.DefaultSpec(); own.Architecture == host.Architecture {
		host.Variant = own.Variant // of ARM; a program for v7 doesn't run on v6
	}
	return platforms.Normalize(host)
}
