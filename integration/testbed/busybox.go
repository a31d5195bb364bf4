package testbed

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/mabuild/mabuild/integration/testbed/debian"
	"github.com/mabuild/mabuild/integration/testbed/imagestore"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// defaultPath is the PATH that Docker's official images set.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// target is a platform and Debian's name for it.
type target struct {
	platform ocispec.Platform
	debian   string
}

func busyboxTargets() []target {
	return []target{
		{ocispec.Platform{OS: "linux", Architecture: "amd64"}, "amd64"},
		{ocispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}, "arm64"},
		{ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}, "armhf"},
		{ocispec.Platform{OS: "linux", Architecture: "386"}, "i386"},
		{ocispec.Platform{OS: "linux", Architecture: "ppc64le"}, "ppc64el"},
		{ocispec.Platform{OS: "linux", Architecture: "s390x"}, "s390x"},
	}
}

func debianTargets() []target { return busyboxTargets()[:2] }

// buildBusybox makes the image from Debian's busybox-static, one package per platform.
func (b *bench) buildBusybox(ctx context.Context) ([]ocispec.Descriptor, error) {
	var packages []string
	for _, t := range busyboxTargets() {
		packages = append(packages, "busybox-static:"+t.debian)
	}
	debs, err := b.download(ctx, packages...)
	if err != nil {
		return nil, err
	}
	var manifests []ocispec.Descriptor
	for i, t := range busyboxTargets() {
		pkg := packages[i]
		binary, err := busyboxBinary(ctx, debs[pkg])
		if err != nil {
			return nil, err
		}
		entries, err := busyboxEntries(binary)
		if err != nil {
			return nil, fmt.Errorf("laying out %s: %w", pkg, err)
		}
		root, err := b.store.PutLayer(ctx, "library/busybox", "BusyBox from Debian's "+pkg, entries)
		if err != nil {
			return nil, err
		}
		desc, err := b.store.PutImage(ctx, "library/busybox", imagestore.Image{
			Platform: t.platform,
			Config:   ocispec.ImageConfig{Env: []string{defaultPath}, Cmd: []string{"sh"}},
			Layers:   []imagestore.Layer{root},
		})
		if err != nil {
			return nil, err
		}
		manifests = append(manifests, desc)
	}
	return manifests, nil
}

func busyboxBinary(ctx context.Context, deb string) ([]byte, error) {
	var binary []byte
	err := debian.ReadDeb(ctx, deb, func(header *tar.Header, content io.Reader) (err error) {
		if header.Name == "./bin/busybox" || header.Name == "./usr/bin/busybox" {
			binary, err = io.ReadAll(content)
		}
		return err
	})
	if err == nil && binary == nil {
		err = fmt.Errorf("looking for busybox in %q: the package has none", deb)
	}
	return binary, err
}

// busyboxEntries lays out a root like the official image's: all programs are links
// to one binary.
func busyboxEntries(binary []byte) ([]imagestore.Entry, error) {
	applets, err := busyboxApplets(binary)
	if err != nil {
		return nil, err
	}
	entries := []imagestore.Entry{
		imagestore.File("bin/busybox", 0o755, binary),
		imagestore.File("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\n"+
			"daemon:x:1:1:daemon:/usr/sbin:/bin/false\nwww-data:x:33:33:www-data:/var/www:/bin/false\n"+
			"nobody:x:65534:65534:nobody:/home:/bin/false\n")),
		imagestore.File("etc/group", 0o644, []byte("root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nusers:x:100:\nnogroup:x:65534:\n")),
		imagestore.File("etc/shadow", 0o600, []byte("root:*:::::::\ndaemon:*:::::::\nwww-data:*:::::::\nnobody:*:::::::\n")),
		imagestore.File("etc/nsswitch.conf", 0o644, []byte("hosts: files dns\n")),
		imagestore.Symlink("usr/bin/env", "../../bin/env"),
		imagestore.Dir("root", 0o700), imagestore.Dir("tmp", 0o1777), imagestore.Dir("var/tmp", 0o1777),
	}
	for _, name := range []string{"bin", "dev", "etc", "home", "usr", "usr/bin", "usr/sbin", "var", "var/spool", "var/spool/mail", "var/www"} {
		entries = append(entries, imagestore.Dir(name, 0o755))
	}
	for _, applet := range applets {
		if applet != "busybox" {
			entries = append(entries, imagestore.Entry{Name: "bin/" + applet, Type: tar.TypeLink, Mode: 0o755, Link: "bin/busybox"})
		}
	}
	return entries, nil
}

// busyboxApplets reads the names of a busybox' programs from its binary: a table
// of strings that starts with "[" and "[[". Asking the binary itself (--list) would
// need emulation for all platforms but one.
func busyboxApplets(binary []byte) ([]string, error) {
	start := []byte("\x00[\x00[[\x00")
	at := bytes.Index(binary, start)
	if at < 0 {
		return nil, errors.New("looking for the names of busybox' programs: the binary has no table of them")
	}
	table, _, found := bytes.Cut(binary[at+1:], []byte("\x00\x00"))
	if !found {
		return nil, errors.New("reading the names of busybox' programs: the table doesn't end")
	}
	var applets []string
	for name := range bytes.SplitSeq(table, []byte{0}) {
		if len(name) > 64 || bytes.ContainsAny(name, "/ \n") {
			return nil, fmt.Errorf("reading the names of busybox' programs: %q is none", name)
		}
		applets = append(applets, string(name))
	}
	return applets, nil
}
