package testbed

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mabuild/mabuild/integration/testbed/command"
	"github.com/mabuild/mabuild/integration/testbed/imagestore"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// Java is an image with a JDK, laid out as Eclipse Temurin's. It is made when it is
// asked for by name.
const Java = "eclipse-temurin:17" // and eclipse-temurin:17-jdk; includes Debian

// javaHome is where the official image has the JDK.
const javaHome = "opt/java/openjdk"

// javaRecipe puts Debian's JDK 17 on top of debian.
func (b *bench) javaRecipe(slim recipe) recipe {
	return recipe{
		name: Java, repository: "library/eclipse-temurin", tags: []string{"17", "17-jdk"},
		key: key("java 1", slim.key), build: b.buildJava,
	}
}

func (b *bench) buildJava(ctx context.Context) ([]ocispec.Descriptor, error) {
	const repository = "library/eclipse-temurin"
	targets := debianTargets()
	layers, versions := make([]imagestore.Layer, len(targets)), make([]string, len(targets))
	group, groupCtx := errgroup.WithContext(ctx)
	for i, t := range targets {
		group.Go(func() (err error) {
			layers[i], versions[i], err = b.javaLayer(groupCtx, repository, t.debian)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	select {
	case <-b.debianDone:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	bases, err := b.store.Images(ctx, "library/debian", "bookworm-slim")
	if err != nil {
		return nil, err
	}
	var manifests []ocispec.Descriptor
	for i, t := range targets {
		at := slices.IndexFunc(bases, func(base imagestore.Image) bool { return base.Platform.Architecture == t.platform.Architecture })
		if at < 0 {
			return nil, fmt.Errorf("looking for debian on %s: the image has no such platform", t.platform.Architecture)
		}
		for _, shared := range bases[at].Layers {
			if err := b.store.Mount(ctx, "library/debian", repository, shared.Descriptor); err != nil {
				return nil, err
			}
		}
		desc, err := b.store.PutImage(ctx, repository, imagestore.Image{
			Platform: bases[at].Platform,
			Layers:   append(slices.Clone(bases[at].Layers), layers[i]),
			Config: ocispec.ImageConfig{
				Env: []string{
					"PATH=/" + javaHome + "/bin:" + strings.TrimPrefix(defaultPath, "PATH="),
					"JAVA_HOME=/" + javaHome, "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "JAVA_VERSION=" + versions[i],
				},
				Cmd: []string{"jshell"},
			},
		})
		if err != nil {
			return nil, err
		}
		manifests = append(manifests, desc)
	}
	return manifests, nil
}

// javaLayer unpacks Debian's packages of the JDK. The libraries that it needs
// without a desktop are in every Debian: apt needs the same.
func (b *bench) javaLayer(ctx context.Context, repository, architecture string) (layer imagestore.Layer, version string, err error) {
	started := time.Now()
	packages := []string{"openjdk-17-jre-headless:" + architecture, "openjdk-17-jdk-headless:" + architecture}
	debs, err := b.download(ctx, packages...)
	if err != nil {
		return layer, "", err
	}
	root := filepath.Join(b.work, "java-"+architecture)
	for _, pkg := range packages {
		if err := command.Run(ctx, exec.CommandContext(ctx, "dpkg-deb", "--extract", debs[pkg], root)); err != nil {
			return layer, "", err
		}
	}
	entries, err := javaEntries(root, "usr/lib/jvm/java-17-openjdk-"+architecture)
	if err != nil {
		return layer, "", fmt.Errorf("laying out %s: %w", strings.Join(packages, " and "), err)
	}
	release, err := os.ReadFile(filepath.Join(root, "usr/lib/jvm/java-17-openjdk-"+architecture, "release"))
	if err != nil {
		return layer, "", fmt.Errorf("reading which release Java is: %w", err)
	}
	if version, err = javaVersion(release); err != nil {
		return layer, "", err
	}
	b.logger.Info("unpacked Java", "architecture", architecture, "version", version, "took", since(started))
	layer, err = b.store.PutLayer(ctx, repository, "Debian's "+strings.Join(packages, ", "), entries)
	return layer, version, err
}

// javaVersion returns the version as the official image's JAVA_VERSION has it.
func javaVersion(release []byte) (string, error) {
	found := regexp.MustCompile(`(?m)^JAVA_RUNTIME_VERSION="([0-9.]+\+[0-9]+)[^"]*"`).FindSubmatch(release)
	if found == nil {
		return "", errors.New("reading which release Java is: the file doesn't say")
	}
	return "jdk-" + string(found[1]), nil
}

// javaEntries moves the JDK at home, a folder below root, to where the official
// image has it. Debian keeps settings in /etc; here they are in the JDK, as
// upstream has them.
func javaEntries(root, home string) ([]imagestore.Entry, error) {
	found, err := imagestore.Tree(filepath.Join(root, home), javaLeftOut)
	if err != nil {
		return nil, err
	}
	entries := []imagestore.Entry{imagestore.Dir("opt", 0o755), imagestore.Dir("opt/java", 0o755), imagestore.Dir(javaHome, 0o755)}
	for _, entry := range found {
		entry.UID, entry.GID = 0, 0
		if entry.Type == tar.TypeSymlink {
			target := path.Clean(path.Join("/", home, path.Dir(entry.Name), entry.Link))
			if path.IsAbs(entry.Link) {
				target = path.Clean(entry.Link)
			}
			if !strings.HasPrefix(target, "/"+home+"/") {
				content, err := os.ReadFile(filepath.Join(root, target))
				if errors.Is(err, fs.ErrNotExist) {
					continue // of a package that isn't here
				}
				if err != nil {
					return nil, err
				}
				entry = imagestore.File(entry.Name, 0o644, content)
			}
		}
		entry.Name = path.Join(javaHome, entry.Name)
		if entry.Type == tar.TypeLink {
			entry.Link = path.Join(javaHome, entry.Link)
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// javaLeftOut reports whether a file of the JDK stays out of the image: what jlink
// makes images from, a quarter of it all, and documentation.
func javaLeftOut(name string) bool {
	return slices.Contains([]string{"jmods", "legal", "man", "docs"}, name)
}
