package testbed

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/containerd/platforms"
	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/integration/testbed/imagestore"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The images with the tools that mabuild needs, for this machine's platform alone.
// They are made when they are asked for by name.
const (
	Binfmt   = "tonistiigi/binfmt:latest" // the machine's qemu-ARCH-static as /usr/bin/qemu-ARCH
	BuildKit = "moby/buildkit:latest"     // the machine's runc as /usr/bin/buildkit-runc
)

// machine is the platform of this machine's programs.
func machine() ocispec.Platform {
	return platforms.Normalize(ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH})
}

// toolRecipes returns the recipes of the images with tools that are among the given
// ones. A recipe's key has the sizes and dates of the programs, so that an upgrade
// of the machine makes another image.
func (b *bench) toolRecipes(images []string) (map[string][]recipe, error) {
	recipes := map[string][]recipe{}
	if slices.Contains(images, Binfmt) {
		programs, err := machineQEMUs("/usr/bin")
		if err != nil {
			return nil, fmt.Errorf("preparing the image %q: %w", Binfmt, err)
		}
		recipes[Binfmt] = []recipe{b.toolRecipe(Binfmt, "binfmt 1", "tonistiigi/binfmt", programs)}
	}
	if slices.Contains(images, BuildKit) {
		programs, err := machineRunc()
		if err != nil {
			return nil, fmt.Errorf("preparing the image %q: %w", BuildKit, err)
		}
		recipes[BuildKit] = []recipe{b.toolRecipe(BuildKit, "buildkit 1", "moby/buildkit", programs)}
	}
	return recipes, nil
}

func (b *bench) toolRecipe(name, version, repository string, programs []hostFile) recipe {
	parts := make([]string, len(programs))
	for i, p := range programs {
		parts[i] = p.identity()
	}
	return recipe{
		name: name, repository: repository, tags: []string{"latest"}, key: key(version, parts...),
		build: func(ctx context.Context) ([]ocispec.Descriptor, error) {
			return b.buildTools(ctx, repository, programs)
		},
	}
}

// hostFile is a program of the machine and its path in the image.
type hostFile struct {
	path string
	name string // without a leading slash
	info os.FileInfo
}

func newHostFile(path, name string) (hostFile, error) {
	info, err := os.Stat(path)
	return hostFile{path, name, info}, err
}

func (f hostFile) identity() string {
	return fmt.Sprintf("%s %s %d %d", f.name, f.path, f.info.Size(), f.info.ModTime().UnixNano())
}

func (f hostFile) entry() imagestore.Entry {
	entry := imagestore.File(f.name, 0o755, nil)
	entry.Size = f.info.Size()
	entry.Open = func() (io.ReadCloser, error) { return os.Open(f.path) }
	return entry
}

// machineQEMUs returns the static QEMUs in the folder dir, of those that
// tonistiigi/binfmt has.
func machineQEMUs(dir string) ([]hostFile, error) {
	var found []hostFile
	for _, arch := range emulation.Arches() {
		path, err := arch.FindQEMU(dir)
		if errors.Is(err, emulation.ErrNoQEMU) {
			continue
		}
		file, err := newHostFile(path, "usr/bin/qemu-"+arch.Name)
		if err != nil {
			return nil, err
		}
		found = append(found, file)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("looking for a static QEMU in %s: there is none: install qemu-user-static", dir)
	}
	return found, nil
}

// machineRunc returns the machine's runc. The official image's is static; this one
// may be linked dynamically, as Debian's is, and then runs on this machine only.
func machineRunc() ([]hostFile, error) {
	for _, name := range []string{"runc", "/usr/sbin/runc"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return nil, err
		}
		program, err := elf.Open(path)
		if err != nil { // a script in its place, for instance
			continue
		}
		_ = program.Close() // it was opened to be read only
		file, err := newHostFile(path, "usr/bin/buildkit-runc")
		return []hostFile{file}, err
	}
	return nil, errors.New("looking for runc: there is none: install runc")
}

// buildTools lays programs out as the image that has them: one layer for them, over
// one for the system that their image is made from.
func (b *bench) buildTools(ctx context.Context, repository string, programs []hostFile) ([]ocispec.Descriptor, error) {
	base, err := b.store.PutLayer(ctx, repository, "folders", []imagestore.Entry{
		imagestore.Dir("usr", 0o755), imagestore.Dir("usr/bin", 0o755), imagestore.Dir("tmp", 0o1777),
	})
	if err != nil {
		return nil, err
	}
	entries := []imagestore.Entry{imagestore.Dir("usr", 0o755), imagestore.Dir("usr/bin", 0o755)}
	for _, p := range programs {
		entries = append(entries, p.entry())
	}
	layer, err := b.store.PutLayer(ctx, repository, "programs of this machine", entries)
	if err != nil {
		return nil, err
	}
	desc, err := b.store.PutImage(ctx, repository, imagestore.Image{
		Platform: machine(), Config: ocispec.ImageConfig{Env: []string{defaultPath}}, Layers: []imagestore.Layer{base, layer},
	})
	return []ocispec.Descriptor{desc}, err
}
