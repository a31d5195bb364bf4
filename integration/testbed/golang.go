package testbed

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mabuild/mabuild/integration/testbed/command"
	"github.com/mabuild/mabuild/integration/testbed/debian"
	"github.com/mabuild/mabuild/integration/testbed/imagestore"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// goSeries is the version that the image's tags name, goRelease the release of it
// that is used where this program was built by another Go.
const (
	goSeries  = "1.26"
	goRelease = "1.26.8"
)

// goVersion returns the release of Go for the image: the machine's, if it is of
// the right series.
func goVersion(machine string) string {
	found := regexp.MustCompile(`^go(` + regexp.QuoteMeta(goSeries) + `\.\d+)( |$)`).FindStringSubmatch(machine)
	if found == nil {
		return goRelease
	}
	return found[1]
}

// buildGolang puts the Go toolchain, as the go command downloads it, and root
// certificates on top of debian's layer.
func (b *bench) buildGolang(ctx context.Context) ([]ocispec.Descriptor, error) {
	if err := command.Need("go"); err != nil {
		return nil, err
	}
	targets := debianTargets()
	toolchains := make([]imagestore.Layer, len(targets))
	var certificates, workspace imagestore.Layer
	group, groupCtx := errgroup.WithContext(ctx)
	for i, t := range targets {
		group.Go(func() (err error) {
			toolchains[i], err = b.toolchainLayer(groupCtx, t.platform.Architecture)
			return err
		})
	}
	group.Go(func() (err error) {
		if certificates, err = b.certificatesLayer(groupCtx); err != nil {
			return err
		}
		workspace, err = b.store.PutLayer(groupCtx, "library/golang", "the module and build folders of Go", []imagestore.Entry{
			imagestore.Dir("go", 0o1777), imagestore.Dir("go/bin", 0o1777), imagestore.Dir("go/src", 0o1777),
		})
		return err
	})
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
		img := golangImage(bases[at], b.golang, certificates, toolchains[i], workspace)
		for _, shared := range bases[at].Layers {
			if err := b.store.Mount(ctx, "library/debian", "library/golang", shared.Descriptor); err != nil {
				return nil, err
			}
		}
		desc, err := b.store.PutImage(ctx, "library/golang", img)
		if err != nil {
			return nil, err
		}
		manifests = append(manifests, desc)
	}
	return manifests, nil
}

// golangImage has the environment of the official image.
func golangImage(base imagestore.Image, version string, layers ...imagestore.Layer) imagestore.Image {
	return imagestore.Image{
		Platform: base.Platform,
		Layers:   append(slices.Clone(base.Layers), layers...),
		Config: ocispec.ImageConfig{
			Env: []string{
				"PATH=/go/bin:/usr/local/go/bin:" + strings.TrimPrefix(defaultPath, "PATH="),
				"GOLANG_VERSION=" + version, "GOTOOLCHAIN=local", "GOPATH=/go",
			},
			Cmd:        []string{"bash"},
			WorkingDir: "/go",
		},
	}
}

// toolchainLayer downloads a toolchain as the go command does, checksum database
// included, into a module cache of its own.
func (b *bench) toolchainLayer(ctx context.Context, architecture string) (imagestore.Layer, error) {
	started := time.Now()
	module := fmt.Sprintf("golang.org/toolchain@v0.0.1-go%s.linux-%s", b.golang, architecture)
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	cmd.Dir = b.work // outside of every module
	cmd.Env = append(os.Environ(), "GOMODCACHE="+filepath.Join(b.work, "gomod-"+architecture),
		"GOFLAGS=-modcacherw", "GOTOOLCHAIN=local", "GO111MODULE=on", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var download struct{ Zip, Error string }
	decodeErr := json.Unmarshal(out, &download)
	switch {
	case err != nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil:
		err = decodeErr
	case download.Error != "":
		err = errors.New(download.Error)
	}
	if err != nil {
		return imagestore.Layer{}, fmt.Errorf("downloading %s: %w%s", module, err, command.Tail(stderr.Bytes()))
	}
	archive, err := zip.OpenReader(download.Zip)
	if err != nil {
		return imagestore.Layer{}, fmt.Errorf("opening %s: %w", module, err)
	}
	defer archive.Close()
	entries, err := toolchainEntries(&archive.Reader, module)
	if err != nil {
		return imagestore.Layer{}, fmt.Errorf("laying out %s: %w", module, err)
	}
	b.logger.Info("downloaded the Go toolchain", "architecture", architecture, "took", since(started))
	return b.store.PutLayer(ctx, "library/golang", module, entries)
}

// toolchainEntries lays the files of a toolchain module out under /usr/local/go.
// A module can't hold modes or other modules: programs get their exec bits here
// and each _go.mod its name, as the go command does it when it uses a toolchain.
func toolchainEntries(archive *zip.Reader, module string) ([]imagestore.Entry, error) {
	const root = "usr/local/go"
	folders := map[string]bool{root: true}
	var entries []imagestore.Entry
	for _, file := range archive.File {
		name, inside := strings.CutPrefix(file.Name, module+"/")
		if !inside {
			return nil, fmt.Errorf("reading the name %q: it isn't in the module", file.Name)
		}
		if dir, base := path.Split(name); base == "_go.mod" {
			name = dir + "go.mod"
		}
		mode := int64(0o644)
		if toolchainProgram(name) {
			mode = 0o755
		}
		name = path.Join(root, name)
		entries = append(entries, imagestore.Entry{
			Name: name, Type: tar.TypeReg, Mode: mode, Size: int64(file.UncompressedSize64),
			Open: file.Open,
		})
		for dir := path.Dir(name); !folders[dir]; dir = path.Dir(dir) {
			folders[dir] = true
			entries = append(entries, imagestore.Dir(dir, 0o755))
		}
	}
	return append(entries, imagestore.Dir(root, 0o755)), nil
}

func toolchainProgram(name string) bool {
	switch path.Ext(name) {
	case ".bash", ".sh", ".pl", ".rc":
		return true
	}
	lib, _ := path.Match("lib/go_?*_?*_exec", name)
	return lib || strings.HasPrefix(name, "bin/") || strings.HasPrefix(name, "pkg/tool/")
}

// certificatesLayer holds Debian's root certificates, and none that this machine
// has besides them.
func (b *bench) certificatesLayer(ctx context.Context) (imagestore.Layer, error) {
	const pkg = "ca-certificates:amd64"
	debs, err := b.download(ctx, pkg)
	if err != nil {
		return imagestore.Layer{}, err
	}
	var entries []imagestore.Entry
	var bundle bytes.Buffer
	err = debian.ReadDeb(ctx, debs[pkg], func(header *tar.Header, content io.Reader) error {
		name := path.Clean(strings.TrimPrefix(header.Name, "./"))
		if header.Typeflag != tar.TypeReg || path.Ext(name) != ".crt" {
			return nil
		}
		certificate, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		entries = append(entries, imagestore.File(name, 0o644, certificate))
		bundle.Write(append(bytes.TrimSpace(certificate), '\n'))
		return nil
	})
	if err != nil {
		return imagestore.Layer{}, err
	}
	if len(entries) == 0 {
		return imagestore.Layer{}, errors.New("looking for certificates in ca-certificates: the package has none")
	}
	entries = append(entries, imagestore.File("etc/ssl/certs/ca-certificates.crt", 0o644, bundle.Bytes()))
	for _, dir := range []string{"etc/ssl", "etc/ssl/certs", "usr/share/ca-certificates", "usr/share/ca-certificates/mozilla"} {
		entries = append(entries, imagestore.Dir(dir, 0o755))
	}
	return b.store.PutLayer(ctx, "library/golang", "Debian's ca-certificates", entries)
}
