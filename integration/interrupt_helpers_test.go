package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// checkTag reports whether there is a tag; it has to lead to all of an image then.
func (l *interruptLoop) checkTag(t *testing.T, b *interrupted, name string) bool {
	t.Helper()
	var index ocispec.Index
	if !l.get(t, fmt.Sprintf("manifests/%s%d", name, b.number), &index) {
		return false
	}
	if len(index.Manifests) != 2 {
		t.Errorf("tag %s leads to %d images, want 2", name, len(index.Manifests))
	}
	for _, desc := range index.Manifests {
		var manifest ocispec.Manifest
		if !l.get(t, "manifests/"+desc.Digest.String(), &manifest) {
			t.Errorf("tag %s leads to %s, which is missing", name, desc.Digest)
			continue
		}
		for _, blob := range append(manifest.Layers, manifest.Config) {
			if !l.get(t, "blobs/"+blob.Digest.String(), nil) {
				t.Errorf("tag %s leads to the blob %s, which is missing", name, blob.Digest)
			}
		}
	}
	return true
}

// get reads a manifest into what is given, or asks whether a blob is there.
func (l *interruptLoop) get(t *testing.T, path string, into any) bool {
	t.Helper()
	method := http.MethodHead
	if into != nil {
		method = http.MethodGet
	}
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.store.Addr+"/v2/interrupted/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header["Accept"] = []string{ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return false
	}
	if into != nil {
		if err := json.NewDecoder(response.Body).Decode(into); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	return true
}

// checkFiles reports whether the files of the images are there, all of them then.
func (l *interruptLoop) checkFiles(t *testing.T, b *interrupted) bool {
	t.Helper()
	dir := filepath.Join(b.dir, "files")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return false
	}
	got := map[string]string{}
	for _, platform := range []string{"linux_amd64", "linux_arm64"} {
		for _, name := range []string{"number", "arch"} {
			body, _ := os.ReadFile(filepath.Join(dir, platform, name))
			got[platform+"/"+name] = string(body)
		}
		info, err := os.Stat(filepath.Join(dir, platform, "big"))
		if err != nil || info.Size() != 2<<20 {
			t.Errorf("%s/big is not whole: %v", platform, err)
		}
	}
	checkContent(t, "the folder", b, got)
	checkNames(t, dir)
	return true
}

// checkContent compares the files that say for what they were made.
func checkContent(t *testing.T, where string, b *interrupted, got map[string]string) {
	t.Helper()
	number := fmt.Sprintf("%d\n", b.number)
	want := map[string]string{
		"linux_amd64/number": number, "linux_arm64/number": number, "linux_amd64/arch": "amd64\n", "linux_arm64/arch": "arm64\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s is not complete (-want +got):\n%s", where, diff)
	}
}

// checkNames finds what is temporary in a folder.
func checkNames(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.Contains(entry.Name(), "tmp.") {
			t.Errorf("a temporary file is left: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func checkTar(t *testing.T, b *interrupted) bool {
	t.Helper()
	file := filepath.Join(b.dir, "files.tar")
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return false
	}
	content := readTar(t, file)
	got := map[string]string{}
	for _, platform := range []string{"linux_amd64", "linux_arm64"} {
		for _, name := range []string{"number", "arch"} {
			got[platform+"/"+name] = content[platform+"/"+name]
		}
	}
	checkContent(t, "the archive of files", b, got)
	return true
}

// checkArchive reports whether the OCI archive is there, with all blobs then.
func checkArchive(t *testing.T, b *interrupted) bool {
	t.Helper()
	file := filepath.Join(b.dir, "image.tar")
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return false
	}
	content := readTar(t, file)
	read := func(name string, into any) {
		if err := json.Unmarshal([]byte(content[name]), into); err != nil {
			t.Errorf("the archive's %s: %v", name, err)
		}
	}
	blob := func(desc ocispec.Descriptor) string { return "blobs/sha256/" + desc.Digest.Encoded() }
	var top, index ocispec.Index
	read("index.json", &top)
	if len(top.Manifests) != 2 {
		t.Errorf("the archive has %d names, want 2", len(top.Manifests))
		return true
	}
	read(blob(top.Manifests[0]), &index)
	if len(index.Manifests) != 2 {
		t.Errorf("the archive has %d images, want 2", len(index.Manifests))
	}
	for _, desc := range index.Manifests {
		var manifest ocispec.Manifest
		read(blob(desc), &manifest)
		for _, part := range append(manifest.Layers, manifest.Config) {
			if got := int64(len(content[blob(part)])); got != part.Size {
				t.Errorf("the archive has %d bytes of %s, want %d", got, part.Digest, part.Size)
			}
		}
	}
	return true
}

// checkMetadata reports whether the files about the result are there, the last of all.
func checkMetadata(t *testing.T, b *interrupted) bool {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(b.dir, "meta.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	var meta struct {
		Digest string `json:"containerimage.digest"`
	}
	if err := errors.Join(err, json.Unmarshal(body, &meta)); err != nil || meta.Digest == "" {
		t.Errorf("the metadata is not whole: %v: %s", err, body)
	}
	if id, err := os.ReadFile(filepath.Join(b.dir, "iid")); err == nil && string(id) != meta.Digest {
		t.Errorf("the ID is %q, want %q", id, meta.Digest)
	}
	return true
}

// checkLeftovers looks for files that nobody asked for.
func (l *interruptLoop) checkLeftovers(t *testing.T, b *interrupted) {
	t.Helper()
	if left, err := os.ReadDir(b.tmp); err != nil || len(left) > 0 {
		t.Errorf("in TMPDIR are left: %v, %v", left, err)
	}
	left, err := os.ReadDir(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range left {
		if !slices.Contains([]string{"meta.json", "iid", "image.tar", "files", "files.tar"}, entry.Name()) {
			t.Errorf("beside the results is left %s", entry.Name())
		}
	}
	if l.before == nil {
		return
	}
	for path := range l.usersFiles(t) {
		if !l.before[path] && !isLasting(path) {
			t.Errorf("in the user's folders is left %s", path)
		}
	}
}

// isLasting reports whether a build keeps a file of that name: blobs of the image
// store, and what history is made of.
func isLasting(path string) bool {
	temporary := strings.Contains(path, ".tmp") || strings.Contains(path, "part") || strings.HasPrefix(filepath.Base(path), ".") ||
		strings.Contains(path, "/ingest/")
	return !temporary
}

// usersFiles are the files of mabuild's in the state and data folders, but for
// what the engine keeps for itself.
func (l *interruptLoop) usersFiles(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, root := range []string{shared.state, filepath.Join(filepath.Dir(shared.state), "data")} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) { // what others of this test's engine do
				return nil
			}
			if err == nil && entry.IsDir() && filepath.Dir(path) == shared.state && entry.Name() == "root" {
				return fs.SkipDir
			}
			if err == nil {
				found[path] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// awaitNoStep returns when no step of the loop runs any more.
func (l *interruptLoop) awaitNoStep(t *testing.T) {
	t.Helper()
	awaitProcess(t, ": "+l.marker, false)
}
