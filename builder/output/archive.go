package output

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
)

// Archiver publishes a layout's image as an archive, and adds it to no layout's
// entries.
type Archiver struct {
	Keeper
	// Dest is the file, or [Stdout].
	Dest string
	// Docker, if set, makes an archive that every docker load reads.
	Docker *ForDocker
	// Stdout is where [Stdout] leads; nil is the process's.
	Stdout io.Writer
}

// ForDocker adds to an OCI archive the manifest.json of docker save. That has room for
// one platform, which a Docker with the classic store loads; one with the containerd
// store reads the index and loads all.
type ForDocker struct {
	// Platform is the one of manifest.json, or what can run on it. Without such an
	// image it is the first one's.
	Platform ocispec.Platform
}

// Publish writes the archive.
func (a *Archiver) Publish(ctx context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	root, err := a.assemble(ctx, manifests)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	form := archive.WithSkipDockerManifest()
	if a.Docker != nil {
		form = archive.WithPlatform(a.Docker.matcher(manifests))
	}
	layout := a.Layout
	if a.From != nil {
		layout = a.From
	}
	return root, writeTo(a.Dest, a.Stdout, func(w io.Writer) error {
		return writeArchive(ctx, w, layout, root, a.Names, form)
	})
}

// matcher matches the platform of manifest.json.
func (d *ForDocker) matcher(manifests []ocispec.Descriptor) platforms.MatchComparer {
	runs := platforms.Only(d.Platform)
	var first *ocispec.Platform
	for _, desc := range manifests {
		if _, ok := index.Subject(desc); ok || desc.Platform == nil {
			continue
		}
		if runs.Match(*desc.Platform) {
			return runs
		}
		if first == nil {
			first = desc.Platform
		}
	}
	if first == nil {
		return runs
	}
	return platforms.OnlyStrict(*first)
}

// WriteArchive writes an image of a layout as an OCI archive that containerd,
// podman, skopeo and docker (25 and later) load: an OCI layout whose index has one
// entry per name. Same image, same bytes. Names are normalised as docker does.
func WriteArchive(ctx context.Context, w io.Writer, layout *Layout, root ocispec.Descriptor, names []string) error {
	return writeArchive(ctx, w, layout, root, names, archive.WithSkipDockerManifest())
}

func writeArchive(ctx context.Context, w io.Writer, layout *Layout, root ocispec.Descriptor, names []string, form archive.ExportOpt) error {
	full, err := fullNames(names)
	if err != nil {
		return err
	}
	// containerd leaves out a root that is missing, and does not tell that it could
	// not write the archive's end.
	if _, err := layout.blobs.Info(ctx, root.Digest); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	out := &remember{w: w}
	root.Annotations = index.Public(root.Annotations) // without an entry's own name
	err = archive.Export(ctx, layout.Blobs(), out,
		archive.WithManifest(root, full...), archive.WithAllPlatforms(), form)
	if err == nil {
		err = out.err
	}
	if err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	return nil
}

// remember is a writer with the first error of w.
type remember struct {
	w   io.Writer
	err error
}

func (r *remember) Write(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.w.Write(p)
	r.err = err
	return n, err
}

// writeTo calls write with the destination. A file appears whole or not at all; a
// device or a pipe is written to.
func writeTo(dest string, stdout io.Writer, write func(io.Writer) error) error {
	if dest == Stdout {
		if stdout == nil {
			stdout = os.Stdout
		}
		return write(stdout)
	}
	if isDevice(dest) {
		f, err := os.OpenFile(dest, os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("opening the output: %w", err)
		}
		if err := errors.Join(write(f), f.Close()); err != nil {
			return fmt.Errorf("writing %s: %w", dest, err)
		}
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(dest), "."+filepath.Base(dest)+".*.tmp")
	if err != nil {
		return fmt.Errorf("creating the output: %w", err)
	}
	defer os.Remove(f.Name()) // fails after the rename, and should
	err = write(f)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), dest)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", dest, err)
	}
	return nil
}

// isDevice reports whether dest is there and no regular file, like /dev/null.
func isDevice(dest string) bool {
	info, err := os.Stat(dest)
	return err == nil && !info.Mode().IsRegular()
}

// PlatformDir is the directory of a platform's files, as BuildKit names it.
func PlatformDir(platform ocispec.Platform) string {
	return strings.ReplaceAll(platforms.FormatAll(platform), "/", "_")
}

// Tars collects the root file systems of several platforms and joins them into
// one archive.
type Tars struct {
	// Dest is the file, or [Stdout].
	Dest string
	// Stdout is where [Stdout] leads; nil is the process's.
	Stdout io.Writer
	// Platforms in the order in which they are written.
	Platforms []ocispec.Platform
	// Split is that of the [Spec].
	Split *bool
	dir   string

	mu        sync.Mutex
	discarded map[string]int // how often, by [PlatformDir]
}

// Part returns what creates the file for one platform's archive, in one try of its job:
// what is written after [Tars.Discard] is thrown away, too.
func (t *Tars) Part(platform ocispec.Platform) func() (io.WriteCloser, error) {
	name := t.part(platform)
	return func() (io.WriteCloser, error) { return os.Create(name) }
}

// Discard throws away a platform's archive: its job failed, whatever it has exported.
func (t *Tars) Discard(platform ocispec.Platform) {
	_ = os.Remove(t.part(platform)) // or Close does
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.discarded == nil {
		t.discarded = make(map[string]int)
	}
	t.discarded[PlatformDir(platform)]++
}

// Prepare makes the place for the parts; [Tars.Close] removes it.
func (t *Tars) Prepare() error {
	parent := os.TempDir()
	if t.Dest != Stdout && !isDevice(t.Dest) {
		parent = filepath.Dir(t.Dest)
	}
	dir, err := os.MkdirTemp(parent, ".mabuild-tar-*")
	t.dir = dir
	if err != nil {
		return fmt.Errorf("creating a directory for the platforms' archives: %w", err)
	}
	return nil
}

// Close removes the parts.
func (t *Tars) Close() error { return os.RemoveAll(t.dir) }

func (t *Tars) part(platform ocispec.Platform) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := PlatformDir(platform)
	return filepath.Join(t.dir, fmt.Sprintf("%s.%d.tar", name, t.discarded[name]))
}

// made are the platforms whose archives were written. A build may go without others.
func (t *Tars) made() []ocispec.Platform {
	return slices.DeleteFunc(slices.Clone(t.Platforms), func(platform ocispec.Platform) bool {
		_, err := os.Stat(t.part(platform))
		return errors.Is(err, fs.ErrNotExist)
	})
}

// Publish writes the joined archive. One platform's archive is passed on as it is.
func (t *Tars) Publish(ctx context.Context, _ []ocispec.Descriptor) (ocispec.Descriptor, error) {
	made := t.made()
	if len(made) == 0 {
		return ocispec.Descriptor{}, fmt.Errorf("writing %s: no platform has files", t.Dest)
	}
	return ocispec.Descriptor{}, writeTo(t.Dest, t.Stdout, func(dest io.Writer) error {
		w := writerFunc(func(p []byte) (int, error) {
			if cause := context.Cause(ctx); cause != nil {
				return 0, cause
			}
			return dest.Write(p)
		})
		split := splits(t.Split, len(t.Platforms))
		if len(t.Platforms) == 1 && !split {
			return copyFile(w, t.part(t.Platforms[0]))
		}
		out := tar.NewWriter(w)
		shared := make(sharedNames)
		for _, platform := range made {
			var err error
			if split {
				err = appendTar(out, t.part(platform), PlatformDir(platform))
			} else {
				err = shared.appendTar(out, t.part(platform))
			}
			if err != nil {
				return fmt.Errorf("joining the archive of %s: %w", platforms.Format(platform), err)
			}
		}
		return out.Close()
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func copyFile(w io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// appendTar copies an archive's entries into out, below dir.
func appendTar(out *tar.Writer, name, dir string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}); err != nil {
		return err
	}
	in := newWholeReader(f)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		suffix := ""
		if header.Typeflag == tar.TypeDir {
			suffix = "/"
		}
		header.Name = path.Join(dir, header.Name) + suffix
		if header.Typeflag == tar.TypeLink { // a hard link names an entry, a symbolic one a path inside the image
			header.Linkname = path.Join(dir, header.Linkname)
		}
		if header.Format == tar.FormatUSTAR {
			header.Format = tar.FormatUnknown // the longer name may not fit
		}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil { //nolint:gosec // as large as the image is
			return err
		}
	}
}
