package output_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/output"
)

// unpack writes an archive's files to a directory, for readers of layouts.
func unpack(t *testing.T, archive io.Reader) string {
	t.Helper()
	dir := t.TempDir()
	reader := tar.NewReader(archive)
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, filepath.FromSlash(header.Name))
		if header.Typeflag == tar.TypeDir {
			err = os.MkdirAll(name, 0o755)
		} else {
			var body []byte
			if body, err = io.ReadAll(reader); err == nil {
				err = errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, body, 0o644))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Case 48: one entry per name, which leads to the index of all platforms, and an
// independent reader finds everything valid.
func TestWriteArchive(t *testing.T) {
	for name, test := range map[string]struct {
		platforms []ocispec.Platform
		names     []string
		want      []string // tags in the archive
	}{
		"two platforms, two names": {[]ocispec.Platform{amd64, armv7}, []string{"ghcr.io/me/app:1.2", "app"}, []string{"1.2", "latest"}},
		"two platforms, no name":   {[]ocispec.Platform{amd64, arm64}, nil, []string{""}},
		"one platform":             {[]ocispec.Platform{arm64}, []string{"app"}, []string{"latest"}},
	} {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			var manifests []ocispec.Descriptor
			for _, platform := range test.platforms {
				manifests = append(manifests, putImage(t, store, platform))
			}
			add(t, store, "something else that the layout has", "other")
			var out bytes.Buffer
			archiver := &output.Archiver{Keeper: output.Keeper{Layout: store, Names: test.names}, Dest: output.Stdout, Stdout: &out}
			root, err := archiver.Publish(t.Context(), manifests)
			if err != nil {
				t.Fatal(err)
			}
			checkTwice(t, store, root, test.names, out.Bytes())
			dir := unpack(t, &out)
			path, err := layout.FromPath(dir)
			if err != nil {
				t.Fatal(err)
			}
			oracle, err := path.ImageIndex()
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Index(oracle); err != nil {
				t.Error(err)
			}
			top, err := oracle.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			var tags []string
			for _, desc := range top.Manifests {
				tags = append(tags, desc.Annotations[ocispec.AnnotationRefName])
				if desc.Digest.String() != root.Digest.String() {
					t.Errorf("an entry is %s, want %s", desc.Digest, root.Digest)
				}
			}
			if diff := cmp.Diff(test.want, tags); diff != "" {
				t.Errorf("tags (-want +got):\n%s", diff)
			}
			if (root.MediaType == ocispec.MediaTypeImageIndex) != (len(test.platforms) > 1) {
				t.Errorf("%d platforms are %s", len(test.platforms), root.MediaType)
			}
			if blobs, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256")); err != nil || len(blobs) != len(manifests)*4+len(manifests)/2 {
				t.Errorf("%d blobs, %v", len(blobs), err)
			}
		})
	}
}

// checkTwice writes an archive again, from a copy of the layout. Case 45.
func checkTwice(t *testing.T, store *output.Layout, root ocispec.Descriptor, names []string, want []byte) {
	t.Helper()
	root.Annotations = map[string]string{"io.containerd.image.name": "what it was called before"}
	var again bytes.Buffer
	if err := output.WriteArchive(t.Context(), &again, store, root, names); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, again.Bytes()) {
		t.Error("the same image has other bytes")
	}
}

func TestArchiveNames(t *testing.T) {
	store := open(t)
	root := keep(t, store, "app")
	err := output.WriteArchive(t.Context(), io.Discard, store, root, []string{"good", "Bad"})
	if err == nil || !strings.Contains(err.Error(), `naming the image "Bad"`) {
		t.Errorf("error %v", err)
	}
	var out bytes.Buffer
	if err := output.WriteArchive(t.Context(), &out, store, root, []string{"localhost:5000/app"}); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(filepath.Join(unpack(t, &out), "index.json"))
	if err != nil || !bytes.Contains(body, []byte(`"io.containerd.image.name":"localhost:5000/app:latest"`)) {
		t.Errorf("index.json %s, %v", body, err)
	}
}

// A file is there whole or not at all, and one that was there stays.
func TestArchiverFails(t *testing.T) {
	for name, before := range map[string]string{"new file": "", "old file": "an older archive"} {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			absent := blob([]byte("absent"))
			absent.MediaType, absent.Platform = ocispec.MediaTypeImageManifest, &arm64
			dir := t.TempDir()
			dest := filepath.Join(dir, "app.tar")
			if before != "" {
				if err := os.WriteFile(dest, []byte(before), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			archiver := &output.Archiver{Keeper: output.Keeper{Layout: store}, Dest: dest}
			if _, err := archiver.Publish(t.Context(), []ocispec.Descriptor{putImage(t, store, amd64), absent}); err == nil {
				t.Error("an image without its parts was written")
			}
			files, err := os.ReadDir(dir)
			if err != nil || (before == "") != (len(files) == 0) || len(files) > 1 {
				t.Errorf("files %v, error %v", files, err)
			}
			if body, err := os.ReadFile(dest); string(body) != before {
				t.Errorf("the file is %q, %v", body, err)
			}
		})
	}
}

func TestArchiverReplacesAFile(t *testing.T) {
	store := open(t)
	dir := t.TempDir()
	dest := filepath.Join(dir, "app.tar")
	if err := os.WriteFile(dest, bytes.Repeat([]byte("old"), 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	archiver := &output.Archiver{Keeper: output.Keeper{Layout: store}, Dest: dest}
	if _, err := archiver.Publish(t.Context(), []ocispec.Descriptor{putImage(t, store, amd64)}); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(dest)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := layout.FromPath(unpack(t, file)); err != nil {
		t.Error(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("files %v, error %v", files, err)
	}
}

// failing is a writer that accepts some bytes.
type failing struct{ left int }

var errFull = errors.New("no space left on device")

func (f *failing) Write(p []byte) (int, error) {
	if len(p) > f.left {
		n := f.left
		f.left = 0
		return n, errFull
	}
	f.left -= len(p)
	return len(p), nil
}

// Wherever writing fails, at the end of the archive too, it is told.
func TestWriteArchiveToAFullDisk(t *testing.T) {
	store := open(t)
	root := keep(t, store, "app")
	var whole bytes.Buffer
	if err := output.WriteArchive(t.Context(), &whole, store, root, nil); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 1, 512, whole.Len() / 2, whole.Len() - 1024, whole.Len() - 1} {
		if err := output.WriteArchive(t.Context(), &failing{left: room}, store, root, nil); !errors.Is(err, errFull) {
			t.Errorf("with room for %d of %d bytes: %v", room, whole.Len(), err)
		}
	}
	if err := output.WriteArchive(t.Context(), &failing{left: whole.Len()}, store, root, nil); err != nil {
		t.Errorf("with room for all: %v", err)
	}
}

func TestWriteArchiveOfNothing(t *testing.T) {
	var out bytes.Buffer
	absent := blob([]byte("absent"))
	absent.MediaType = ocispec.MediaTypeImageManifest
	if err := output.WriteArchive(t.Context(), &out, open(t), absent, nil); err == nil {
		t.Errorf("an image that is not there has %d bytes", out.Len())
	}
}

func TestKeeper(t *testing.T) {
	store := open(t)
	manifests := []ocispec.Descriptor{putImage(t, store, armv7), putImage(t, store, amd64)}
	root, err := (&output.Keeper{Layout: store, Names: []string{"app"}}).Publish(t.Context(), manifests)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := store.Find(t.Context(), "app")
	if err != nil || entry.Descriptor.Digest != root.Digest {
		t.Errorf("entry %+v, error %v", entry, err)
	}
	joined, err := index.Flatten([]byte(read(t, store, root)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(manifests, joined); diff != "" {
		t.Errorf("manifests (-want +got):\n%s", diff)
	}
	single, err := (&output.Keeper{Layout: store}).Publish(t.Context(), manifests[:1])
	if err != nil || single.Digest != manifests[0].Digest {
		t.Errorf("a single platform is %+v, error %v", single, err)
	}
	if _, err := (&output.Keeper{Layout: store}).Publish(t.Context(), nil); err == nil {
		t.Error("a build without images was kept")
	}
	if _, err := (&output.Keeper{Layout: store, Names: []string{"Bad"}}).Publish(t.Context(), manifests); err == nil {
		t.Error("a bad name was accepted")
	}
}
