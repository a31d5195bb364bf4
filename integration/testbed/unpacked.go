package testbed

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mabuild/mabuild/integration/testbed/debian"
	"github.com/mabuild/mabuild/integration/testbed/imagestore"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// The images of packages that are unpacked and not configured: none of their programs
// ran, so that a platform takes seconds where debootstrap takes minutes under QEMU.
// They are made when they are asked for by name.
const (
	DebianUnpacked = "debian:bookworm-unpacked"
	TrixieUnpacked = "debian:trixie-unpacked"
)

// unpackedTarget is a target and the name of its binutils.
type unpackedTarget struct {
	target
	triplet string
}

// unpackedTargets are those of a suite beside amd64. The suites have between them all
// that native tools are compared on.
func unpackedTargets(suite string) []unpackedTarget {
	known := busyboxTargets()
	if suite == debian.Suite {
		return []unpackedTarget{{known[5], "s390x-linux-gnu"}}
	}
	return []unpackedTarget{
		{known[1], "aarch64-linux-gnu"},
		{known[2], "arm-linux-gnueabihf"},
		{target{ocispec.Platform{OS: "linux", Architecture: "riscv64"}, "riscv64"}, "riscv64-linux-gnu"},
	}
}

// unpackedPackages are what scripts and builds run, and the files that every Debian has.
func unpackedPackages() []string {
	return []string{
		"base-files", "base-passwd", "coreutils", "dash", "diffutils", "dpkg", "findutils", "grep", "mawk", "sed",
		"bzip2", "gzip", "tar", "xz-utils", "zstd",
	}
}

func (b *bench) unpackedRecipe(name, suite string, mirrors []string) recipe {
	return recipe{
		name: name, repository: "library/debian", tags: []string{suite + "-unpacked"}, key: key("unpacked 1", mirrors...),
		build: func(ctx context.Context) ([]ocispec.Descriptor, error) { return b.buildUnpacked(ctx, suite) },
	}
}

// buildUnpacked makes the image for amd64 and the suite's targets. All have binutils;
// amd64 has those for the targets.
func (b *bench) buildUnpacked(ctx context.Context, suite string) ([]ocispec.Descriptor, error) {
	targets, binutils := []target{busyboxTargets()[0]}, [][]string{nil}
	for _, t := range unpackedTargets(suite) {
		targets, binutils = append(targets, t.target), append(binutils, []string{"binutils"})
		binutils[0] = append(binutils[0], "binutils-"+t.triplet)
	}
	apt, err := debian.NewApt(ctx, filepath.Join(b.work, "apt-"+suite), b.source, b.settings, []string{suite}, architectures(targets))
	if err != nil {
		return nil, err
	}
	manifests := make([]ocispec.Descriptor, len(targets))
	group, ctx := errgroup.WithContext(ctx)
	for i, t := range targets {
		// One after the other: apt keeps one cache of what it knows.
		debs, err := apt.Collect(ctx, t.debian, append(unpackedPackages(), binutils[i]...)...)
		if err != nil {
			_ = group.Wait() // what failed first is the error to tell
			return nil, err
		}
		group.Go(func() (err error) {
			manifests[i], err = b.buildUnpackedFor(ctx, suite, t, debs)
			return err
		})
	}
	return manifests, group.Wait()
}

func (b *bench) buildUnpackedFor(ctx context.Context, suite string, t target, debs []string) (ocispec.Descriptor, error) {
	started := time.Now()
	entries, err := unpackedEntries(ctx, debs)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	rootfs, err := b.store.PutLayer(ctx, "library/debian", "packages of "+suite, entries)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	b.logger.Info("unpacked packages", "suite", suite, "architecture", t.debian, "packages", len(debs), "took", since(started))
	return b.store.PutImage(ctx, "library/debian", imagestore.Image{
		Platform: t.platform,
		Config:   ocispec.ImageConfig{Env: []string{defaultPath}, Cmd: []string{"sh"}},
		Layers:   []imagestore.Layer{rootfs},
	})
}

// unpackedEntries lays packages out as dpkg does, with its database, in which they are
// installed. What their scripts would have made is here as far as programs miss it.
func unpackedEntries(ctx context.Context, debs []string) ([]imagestore.Entry, error) {
	tree := unpackedTree{entries: map[string]imagestore.Entry{}}
	for _, deb := range debs {
		if err := tree.add(ctx, deb); err != nil {
			return nil, err
		}
	}
	for _, name := range movedDirs() {
		if _, ok := tree.entries["usr/"+name]; ok {
			tree.put(imagestore.Symlink(name, "usr/"+name))
		}
	}
	tree.put(imagestore.Symlink("usr/bin/awk", "mawk"))
	tree.put(imagestore.File("var/lib/dpkg/status", 0o644, []byte(tree.status.String())))
	for _, name := range []string{"passwd", "group"} {
		if master, ok := tree.entries["usr/share/base-passwd/"+name+".master"]; ok {
			master.Name = "etc/" + name
			tree.put(master)
		}
	}
	var entries []imagestore.Entry
	for _, entry := range tree.entries {
		entries = append(entries, entry)
	}
	return entries, nil
}

// unpackedTree is a tree of packages, by name.
type unpackedTree struct {
	entries map[string]imagestore.Entry
	status  strings.Builder // dpkg's
}

func (u *unpackedTree) put(entry imagestore.Entry) { u.entries[entry.Name] = entry }

func (u *unpackedTree) add(ctx context.Context, deb string) error {
	control, err := debian.Control(ctx, deb)
	if err != nil {
		return err
	}
	var list strings.Builder
	err = debian.ReadDeb(ctx, deb, func(header *tar.Header, content io.Reader) error {
		name := strings.TrimSuffix(strings.TrimPrefix(header.Name, "."), "/")
		if name == "" {
			name = "/." // as dpkg calls the root
		}
		fmt.Fprintln(&list, name)
		return u.unpack(header, content)
	})
	if err != nil {
		return err
	}
	pkg, _, _ := strings.Cut(filepath.Base(deb), "_")
	u.put(imagestore.File("var/lib/dpkg/info/"+pkg+".list", 0o644, []byte(list.String())))
	fmt.Fprintf(&u.status, "%sStatus: install ok installed\n\n", control)
	return nil
}

// unpack takes a file of a package as it is in a system whose /bin is a link to /usr/bin.
func (u *unpackedTree) unpack(header *tar.Header, content io.Reader) error {
	name := merged(header.Name)
	if name == "" || leftOut(name) {
		return nil
	}
	entry := imagestore.Entry{
		Name: name, Type: header.Typeflag, Mode: header.Mode, UID: header.Uid, GID: header.Gid, Link: header.Linkname,
	}
	switch entry.Type {
	case tar.TypeReg:
		data, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		file := imagestore.File(name, header.Mode, data)
		entry.Size, entry.Open = file.Size, file.Open
	case tar.TypeLink:
		entry.Link = merged(entry.Link)
	}
	u.put(entry)
	return nil
}

// merged is where a file of a package is.
func merged(name string) string {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if top, _, _ := strings.Cut(name, "/"); slices.Contains(movedDirs(), top) {
		return "usr/" + name
	}
	return name
}

// movedDirs are in /usr, and links where they were.
func movedDirs() []string { return []string{"bin", "lib", "lib64", "sbin"} }
