package toolbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A build-id names a program, and not the libraries that it loads. A tool may stand
// in only where the root file system has the twins of the libraries that the tool
// itself loads, its closure; libc is left out, so that a point release of a
// distribution does not put all tools out of use.

// isLibc reports whether a library is a part of libc.
func isLibc(name string) bool {
	name, _, _ = strings.Cut(name, ".so")
	switch name {
	case "libc", "libm", "libpthread", "libdl", "librt", "libutil", "libresolv":
		return true
	}
	return strings.HasPrefix(name, "ld-linux") || strings.HasPrefix(name, "ld64") || name == "ld"
}

// library is a native library that tools load.
type library struct {
	name  string
	owner Package
	needs []string
	data  []byte // as it is written
}

// load reads a native library and binds it.
func (l *layouter) load(name string) (library, error) {
	if lib, ok := l.libraries[name]; ok {
		return lib, nil
	}
	for _, file := range libraryPaths(l.host.triplet, name) {
		data, err := l.native.read(file)
		if err != nil {
			continue
		}
		p, err := readProgram(data)
		if err != nil {
			return library{}, fmt.Errorf("library %s: %w", name, err)
		}
		if err := relocatePlugins(data, l.slot); err != nil {
			return library{}, err
		}
		owner, _ := l.native.owner(file, l.host.debian)
		l.libraries[name] = library{name, owner, p.needs, data}
		return l.libraries[name], nil
	}
	return library{}, fmt.Errorf("the native library %s is not there", name)
}

// closure lists what a program loads, itself and by its libraries.
func (l *layouter) closure(p program) ([]library, error) {
	var libraries []library
	seen := make(map[string]bool)
	queue := slices.Clone(p.needs)
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if seen[name] || strings.HasPrefix(name, "ld-linux") {
			continue
		}
		seen[name] = true
		lib, err := l.load(name)
		if err != nil {
			return nil, err
		}
		libraries = append(libraries, lib)
		queue = append(queue, lib.needs...)
	}
	slices.SortFunc(libraries, func(a, b library) int { return strings.Compare(a.name, b.name) })
	return libraries, nil
}

// isChecked reports whether a library is a part of a tool's closure.
func isChecked(c candidate, lib library) bool {
	return !isLibc(lib.name) && lib.owner.Name != c.twin.Name
}

// twinLibrary finds the target's library that a native one is the twin of.
func (l *layouter) twinLibrary(lib library) (Need, error) {
	if need, ok := l.twins[lib.name]; ok {
		return need, nil
	}
	var other []string
	for _, t := range l.trees {
		pkg, ok := named(t.packages, lib.owner.Name, l.target.debian)
		if !ok {
			continue
		}
		if !isTwin(pkg, lib.owner) {
			other = append(other, pkg.described())
			continue
		}
		for _, file := range libraryPaths(l.target.triplet, lib.name) {
			data, err := t.read(file)
			if err != nil {
				continue
			}
			if p, err := readProgram(data); err == nil && p.buildID != "" && p.machine == l.target.elf {
				need := Need{BuildID: p.buildID, Path: l.listed(t, pkg, file)}
				l.twins[lib.name], l.packages[pkg.Name] = need, pkg.Version
				return need, nil
			}
		}
	}
	if len(other) > 0 {
		return Need{}, fmt.Errorf("its library %s is from %s here and from %s there", lib.name, lib.owner.described(), strings.Join(other, " or "))
	}
	return Need{}, fmt.Errorf("the target's package %s for its library %s is not to be had", lib.owner.Name, lib.name)
}

// listed is the path of a library as its package has it, which is right whether or
// not /lib is a link.
func (l *layouter) listed(t *tree, pkg Package, file string) string {
	files, err := t.filesOf(pkg)
	if old := strings.TrimPrefix(file, "/usr"); err == nil && old != file && !slices.Contains(files, file) && slices.Contains(files, old) {
		return old
	}
	return file
}

// fetch gets the packages of the target that the libraries of the chosen programs
// have their twins in, as far as they are not there.
func (l *layouter) fetch(ctx context.Context) error {
	if l.Fetch == nil {
		return nil
	}
	var missing []string
	for _, c := range l.chosen {
		libraries, err := l.closure(c.native)
		if err != nil {
			continue // it is refused later, with the reason
		}
		for _, lib := range libraries {
			if !isChecked(c, lib) || lib.owner.Name == "" {
				continue
			}
			if _, err := l.twinLibrary(lib); err != nil {
				missing = append(missing, lib.owner.Name+":"+l.target.debian)
			}
		}
	}
	slices.Sort(missing)
	if missing = slices.Compact(missing); len(missing) == 0 {
		return nil
	}
	dir := filepath.Join(l.work, "fetched")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := l.Fetch(ctx, dir, missing); err != nil {
		return err
	}
	return l.unpack(ctx, dir)
}

// unpack opens the packages of a directory. One that is damaged is left out.
func (l *layouter) unpack(ctx context.Context, dir string) error {
	packages, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return err
	}
	for _, file := range packages {
		to, err := os.MkdirTemp(l.work, "package-")
		if err != nil {
			return err
		}
		t, err := unpackOne(ctx, file, to)
		if cause := context.Cause(ctx); cause != nil {
			return errors.Join(cause, err)
		}
		if err != nil {
			l.refuse(Refusal{Package: filepath.Base(file), Reason: err.Error()})
			continue
		}
		l.trees = append(l.trees, t)
	}
	return nil
}

func unpackOne(ctx context.Context, file, to string) (*tree, error) {
	out, err := exec.CommandContext(ctx, "dpkg-deb", "--raw-extract", file, to).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("unpacking it: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return openUnpacked(to)
}

// Apt downloads packages by apt-get: together, and where one is missing each alone.
func Apt(ctx context.Context, dir string, packages []string) error {
	if aptDownload(ctx, dir, packages...) == nil {
		return nil
	}
	for _, pkg := range packages {
		if err := aptDownload(ctx, dir, pkg); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
		}
	}
	return nil // what is missing is seen by what misses it
}

func aptDownload(ctx context.Context, dir string, packages ...string) error {
	args := append([]string{"download", "--quiet=2", "-oAPT::Sandbox::User=root"}, packages...)
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Dir = dir
	return cmd.Run()
}
