package testbed

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mabuild/mabuild/integration/testbed/debian"
	"github.com/mabuild/mabuild/integration/testbed/imagestore"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// debianRecipe makes the slim image of a suite from nothing but the mirror.
func (b *bench) debianRecipe(name, suite, version string, mirrors []string) recipe {
	return recipe{
		name: name, repository: "library/debian", tags: []string{suite + "-slim"}, key: key(version, mirrors...),
		build: func(ctx context.Context) ([]ocispec.Descriptor, error) { return b.buildDebian(ctx, suite) },
	}
}

// buildDebian makes the image by debootstrap, a platform each, side by side:
// one waits for the network while the other configures packages.
func (b *bench) buildDebian(ctx context.Context, suite string) ([]ocispec.Descriptor, error) {
	manifests := make([]ocispec.Descriptor, len(debianTargets()))
	group, ctx := errgroup.WithContext(ctx)
	for i, t := range debianTargets() {
		group.Go(func() (err error) {
			manifests[i], err = b.buildDebianFor(ctx, suite, t)
			return err
		})
	}
	return manifests, group.Wait()
}

func (b *bench) buildDebianFor(ctx context.Context, suite string, t target) (ocispec.Descriptor, error) {
	started := time.Now()
	root := filepath.Join(b.work, suite+"-"+t.debian)
	if err := debian.Bootstrap(ctx, root, b.source.Mirror, suite, t.debian, t.platform); err != nil {
		return ocispec.Descriptor{}, err
	}
	b.logger.Info("ran debootstrap", "suite", suite, "architecture", t.debian, "took", since(started))
	entries, err := debianEntries(root, b.source.Stanzas(suite), b.settings)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	rootfs, err := b.store.PutLayer(ctx, "library/debian", "debootstrap "+suite+" minbase", entries)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return b.store.PutImage(ctx, "library/debian", imagestore.Image{
		Platform: t.platform,
		Config:   ocispec.ImageConfig{Env: []string{defaultPath}, Cmd: []string{"bash"}},
		Layers:   []imagestore.Layer{rootfs},
	})
}

// debianEntries is what of a debootstrap's tree goes into the image, with what
// Debian's own slim images have on top.
func debianEntries(root, sources, settings string) ([]imagestore.Entry, error) {
	shadow, err := os.ReadFile(filepath.Join(root, "etc/shadow"))
	if err != nil {
		return nil, fmt.Errorf("reading the tree of debootstrap: %w", err)
	}
	passwords := imagestore.File("etc/shadow", 0o640, undated(shadow))
	passwords.GID = 42 // the group shadow, on all Debian systems
	entries := []imagestore.Entry{
		imagestore.File("etc/apt/sources.list.d/debian.sources", 0o644, []byte(sources)),
		imagestore.File("etc/apt/apt.conf.d/docker", 0o644, []byte(aptInImages)),
		imagestore.File("etc/dpkg/dpkg.cfg.d/docker", 0o644, []byte(dpkgInImages)),
		imagestore.File("usr/sbin/policy-rc.d", 0o755, []byte("#!/bin/sh\n# Packages must not start services in a build.\nexit 101\n")),
		passwords,
	}
	if settings != "" {
		entries = append(entries, imagestore.File("etc/apt/apt.conf.d/90testbed", 0o644, []byte(settings)))
	}
	tree, err := imagestore.Tree(root, func(name string) bool {
		return leftOut(name) || slices.ContainsFunc(entries, func(e imagestore.Entry) bool { return e.Name == name })
	})
	return append(tree, entries...), err
}

// leftOut reports whether a file of debootstrap's tree stays out of the image:
// traces of the run and of the machine, and documentation.
func leftOut(name string) bool {
	dir, base := path.Split(name)
	switch dir {
	case "dev/", "proc/", "sys/", "run/", "tmp/", "var/tmp/", "var/lib/apt/lists/",
		"usr/share/info/", "usr/share/linda/", "usr/share/lintian/overrides/", "usr/share/locale/", "usr/share/man/", "usr/share/omf/":
		return true
	case "var/cache/apt/archives/":
		return base != "partial"
	case "var/cache/apt/", "var/log/":
		return path.Ext(base) == ".bin" || path.Ext(base) == ".log"
	case "etc/":
		return base == "hostname" || base == "resolv.conf" || strings.HasSuffix(base, "-")
	case "var/lib/dpkg/", "var/cache/debconf/":
		return strings.HasSuffix(base, "-old")
	}
	if below, found := strings.CutPrefix(name, "usr/share/doc/"); found {
		return strings.Contains(below, "/") && base != "copyright"
	}
	return name == "etc/apt/sources.list" || name == "var/cache/ldconfig/aux-cache"
}

// undated removes the days of the last password changes, which are the day of the run.
func undated(shadow []byte) []byte {
	var out strings.Builder
	for line := range strings.Lines(string(shadow)) {
		fields := strings.Split(line, ":")
		if len(fields) > 2 {
			fields[2] = fmt.Sprint(imagestore.Epoch().Unix() / (24 * 60 * 60))
		}
		out.WriteString(strings.Join(fields, ":"))
	}
	return []byte(out.String())
}

// aptInImages is what Debian's images tell apt: no downloads are kept, indexes stay
// packed, there are no translations, and suggestions don't hold packages.
const aptInImages = `DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::GzipIndexes "true";
Acquire::Languages "none";
Apt::AutoRemove::SuggestsImportant "false";
`

// dpkgInImages is what Debian's slim images tell dpkg: no documentation and no
// waiting for the disk.
const dpkgInImages = `force-unsafe-io
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/linda/*
path-exclude /usr/share/lintian/overrides/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
path-exclude /usr/share/omf/*
`
