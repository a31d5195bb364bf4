package integration

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/integration/testbed"
)

// archProject says in /arch which platform it was built for, without running
// anything there.
func archProject(t *testing.T) string {
	t.Helper()
	return project(t, map[string]string{"Dockerfile": "FROM --platform=$BUILDPLATFORM busybox AS build\nARG TARGETPLATFORM\n" +
		"RUN echo $TARGETPLATFORM > /arch && ln /arch /hard && ln -s arch /soft\nFROM scratch\nCOPY --from=build /arch /hard /soft /\n"})
}

// TestStoreThenPush is the way of a build without an output: it is kept, listed,
// inspected, and pushed from the store under its name or another.
func TestStoreThenPush(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	name := store.Addr + "/kept:1"
	built := mabuild(t, "--platform", "linux/amd64,linux/arm/v7", "-t", name, archProject(t))
	digest := strings.TrimSpace(built.stdout)
	lines := strings.Split(strings.TrimSpace(built.stderr), "\n")
	if want := "mabuild push " + name; !strings.HasSuffix(lines[len(lines)-1], want) {
		t.Errorf("the last line is %q, want it to end in %q", lines[len(lines)-1], want)
	}
	if requests := store.Requests(); len(requests) != 0 {
		t.Errorf("a build without --push talked to the registry: %+v", requests)
	}
	if list := mabuild(t, "images").stdout; !strings.Contains(list, name) || !strings.Contains(list, "linux/amd64,linux/arm/v7") {
		t.Errorf("images lacks %s:\n%s", name, list)
	}
	if got := mabuild(t, "push", name).stdout; got != built.stdout {
		t.Errorf("push printed %q, the build %q", got, built.stdout)
	}
	checkIndex(t, name, digest, "linux/amd64,linux/arm/v7")
	mabuild(t, "push", "--as", store.Addr+"/other:x", "--as", store.Addr+"/other:y", digest[:20])
	checkIndex(t, store.Addr+"/other:y", digest, "linux/amd64,linux/arm/v7")

	unnamed := mabuild(t, archProject(t))
	if !strings.Contains(unnamed.stderr, "mabuild push --as REGISTRY/NAME:TAG "+strings.TrimSpace(unnamed.stdout)[7:19]) {
		t.Errorf("the result without a name does not say how to push it:\n%s", unnamed.stderr)
	}
	mabuild(t, "images", "rm", name)
	mabuild(t, "images", "prune", "--all")
	fails(t, command(t, "inspect", "--source=store", name), 1, "no such image")
}

// TestPushOrder is row 18's invariant: the tag is the last thing written, once, and
// read back.
func TestPushOrder(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	image := store.Addr + "/ordered"
	dir := archProject(t)
	first := mabuild(t, "--platform", six, "-t", image+":1", "-t", image+":latest", "--push", dir)
	var puts []string
	for _, r := range store.Requests() {
		if r.Method == http.MethodPut && strings.Contains(r.Path, "/manifests/") {
			puts = append(puts, r.Path[strings.LastIndexByte(r.Path, '/')+1:])
		}
	}
	if len(puts) != 8 || puts[6] != "1" || puts[7] != "latest" {
		t.Errorf("manifests were put in the order %q, want six digests, then the tags", puts)
	}
	before := len(store.Requests())
	again := mabuild(t, "--platform", six, "-t", image+":1", "--push", dir)
	if again.stdout != first.stdout {
		t.Errorf("the same inputs gave %s and %s", first.stdout, again.stdout)
	}
	for _, r := range store.Requests()[before:] {
		if r.Method == http.MethodPut && strings.HasSuffix(r.Path, "/manifests/1") {
			t.Errorf("a tag that was right already was written again (case 55)")
		}
	}
}

// TestSinglePlatform is case 60: one platform is a plain manifest, always.
func TestSinglePlatform(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	mabuild(t, "--platform", "linux/arm64", "-t", store.Addr+"/one:1", "--push", archProject(t))
	if shown := mabuild(t, "inspect", "--source=registry", store.Addr+"/one:1").stdout; !strings.Contains(shown, ocispec.MediaTypeImageManifest) || !strings.Contains(shown, "linux/arm64") {
		t.Errorf("inspect shows:\n%s", shown)
	}
}

// TestDockerTypes: a real Docker manifest list of Docker manifests (case 67).
func TestDockerTypes(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	image := store.Addr + "/docker:1"
	mabuild(t, "--platform", "linux/amd64,linux/s390x", "-t", image, "-o", "type=image,push=true,oci-mediatypes=false", archProject(t))
	var list ocispec.Index
	if err := json.Unmarshal([]byte(mabuild(t, "inspect", "--source=registry", "--raw", image).stdout), &list); err != nil {
		t.Fatal(err)
	}
	if want := "application/vnd.docker.distribution.manifest.list.v2+json"; list.MediaType != want {
		t.Errorf("the list is %s, want %s", list.MediaType, want)
	}
	for _, m := range list.Manifests {
		if want := "application/vnd.docker.distribution.manifest.v2+json"; m.MediaType != want {
			t.Errorf("%s is %s, want %s", m.Digest, m.MediaType, want)
		}
	}
}

// TestLocalOutput: several platforms are kept apart, one is not.
func TestLocalOutput(t *testing.T) {
	out := t.TempDir()
	mabuild(t, "--platform", "linux/amd64,linux/arm/v7", "-o", out, archProject(t))
	for dir, want := range map[string]string{"linux_amd64": "linux/amd64\n", "linux_arm_v7": "linux/arm/v7\n"} {
		if got, err := os.ReadFile(filepath.Join(out, dir, "soft")); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", dir, got, err, want)
		}
	}
	one := t.TempDir()
	mabuild(t, "--platform", "linux/arm64", "-o", one, archProject(t))
	if got, err := os.ReadFile(filepath.Join(one, "arch")); err != nil || string(got) != "linux/arm64\n" {
		t.Errorf("one platform: got %q, %v", got, err)
	}
}

func TestTarOutput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "root.tar")
	res := mabuild(t, "--platform", "linux/amd64,linux/s390x", "-o", "type=tar,dest="+file, archProject(t))
	if res.stdout != "" {
		t.Errorf("standard output is %q; files have no digest", res.stdout)
	}
	content := readTar(t, file)
	want := map[string]string{"linux_amd64/arch": "linux/amd64\n", "linux_s390x/arch": "linux/s390x\n"}
	for name, text := range want {
		if content[name] != text {
			t.Errorf("%s is %q, want %q; the archive has %v", name, content[name], text, content)
		}
	}
	// On standard output, and readable by the system's tar.
	cmd := command(t, "--platform", "linux/amd64,linux/s390x", "-o", "-", archProject(t))
	list := exec.Command("tar", "t")
	list.Stdin = strings.NewReader(finish(t, cmd).stdout)
	if names, err := list.CombinedOutput(); err != nil || !strings.Contains(string(names), "linux_s390x/hard") {
		t.Errorf("tar t: %v\n%s", err, names)
	}
}

func readTar(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content := map[string]string{}
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return content
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		content[header.Name] = string(body)
	}
}

// TestOCIOutput is case 48: one entry per name, each leading to the index.
func TestOCIOutput(t *testing.T) {
	dir := t.TempDir()
	file, layout := filepath.Join(dir, "image.tar"), filepath.Join(dir, "layout")
	context := archProject(t)
	archive := mabuild(t, "--platform", "linux/amd64,linux/arm64", "-t", "a/b:1", "-t", "a/b:2", "-o", "type=oci,dest="+file, context)
	var index ocispec.Index
	if err := json.Unmarshal([]byte(readTar(t, file)["index.json"]), &index); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range index.Manifests {
		names = append(names, m.Annotations["io.containerd.image.name"]+" "+m.Digest.String())
	}
	digest := strings.TrimSpace(archive.stdout)
	if diff := cmp.Diff([]string{"docker.io/a/b:1 " + digest, "docker.io/a/b:2 " + digest}, names); diff != "" {
		t.Errorf("the archive's entries (-want +got):\n%s", diff)
	}
	directory := mabuild(t, "--platform", "linux/amd64,linux/arm64", "-t", "a/b:1", "-o", "type=oci,tar=false,dest="+layout, context)
	if directory.stdout != archive.stdout {
		t.Errorf("the directory has %s, the archive %s", directory.stdout, archive.stdout)
	}
	if _, err := os.Stat(filepath.Join(layout, "blobs", "sha256", digest[len("sha256:"):])); err != nil {
		t.Error(err)
	}
	second := filepath.Join(dir, "again.tar")
	mabuild(t, "--platform", "linux/amd64,linux/arm64", "-t", "a/b:1", "-t", "a/b:2", "-o", "type=oci,dest="+second, context)
	a, errA := os.ReadFile(file)
	b, errB := os.ReadFile(second)
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Errorf("the same image made different archives (%v, %v)", errA, errB)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

// TestMetadata is case 72.
func TestMetadata(t *testing.T) {
	dir := t.TempDir()
	file, iid := filepath.Join(dir, "meta.json"), filepath.Join(dir, "iid")
	res := mabuild(t, "--platform", "linux/amd64,linux/arm64", "-t", "meta:1", "--metadata-file", file, "--iidfile", iid, archProject(t))
	var meta struct {
		Digest     string             `json:"containerimage.digest"`
		Descriptor ocispec.Descriptor `json:"containerimage.descriptor"`
		Name       string             `json:"image.name"`
		Platforms  map[string]struct {
			Digest string
			Size   int64
		} `json:"mabuild.platforms"`
	}
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &meta); err != nil {
		t.Fatal(err)
	}
	digest := strings.TrimSpace(res.stdout)
	if meta.Digest != digest || meta.Descriptor.MediaType != ocispec.MediaTypeImageIndex || meta.Name != "docker.io/library/meta:1" {
		t.Errorf("metadata is %s", body)
	}
	if len(meta.Platforms) != 2 || !strings.HasPrefix(meta.Platforms["linux/arm64"].Digest, "sha256:") || meta.Platforms["linux/arm64"].Size == 0 {
		t.Errorf("the platforms are %+v", meta.Platforms)
	}
	if got, _ := os.ReadFile(iid); string(got) != digest {
		t.Errorf("the iidfile has %q, want %q", got, digest)
	}
	failing := filepath.Join(dir, "failing.json")
	fails(t, command(t, "--metadata-file", failing, project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN false\n"})), 1)
	if _, err := os.Stat(failing); err == nil {
		t.Error("a failed build wrote its metadata file")
	}
}

// TestFlags: arguments, labels, target and the Dockerfile's place reach every platform.
func TestFlags(t *testing.T) {
	dir := project(t, map[string]string{
		"ctx/file": "", "df/My.Dockerfile": "FROM busybox AS wanted\nARG WHO=nobody\nARG HOME_OF\nCOPY file /\nRUN echo $WHO $HOME_OF > /who\nFROM busybox\nRUN false\n",
	})
	out := t.TempDir()
	cmd := command(t, "--platform", "linux/amd64,linux/arm64", "--target", "wanted", "--build-arg", "WHO=me", "--build-arg", "HOME_OF",
		"--jobs", "1", "-f", filepath.Join(dir, "df", "My.Dockerfile"), "-o", out, filepath.Join(dir, "ctx"))
	cmd.Env = append(cmd.Env, "HOME_OF=here")
	if res := finish(t, cmd); res.code != 0 {
		t.Fatal(res.stderr)
	}
	for _, platform := range []string{"linux_amd64", "linux_arm64"} {
		if got, err := os.ReadFile(filepath.Join(out, platform, "who")); err != nil || string(got) != "me here\n" {
			t.Errorf("%s: got %q, %v", platform, got, err)
		}
	}
	store := registry(t, testbed.RegistryOptions{})
	image := store.Addr + "/labels:1"
	mabuild(t, "--platform", "linux/arm64", "--label", "a.b=c d", "-t", image, "--push", archProject(t))
	var manifest ocispec.Manifest
	if err := json.Unmarshal([]byte(mabuild(t, "inspect", "--raw", "--source=registry", image).stdout), &manifest); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + store.Addr + "/v2/labels/blobs/" + manifest.Config.Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var config ocispec.Image
	if err := json.NewDecoder(resp.Body).Decode(&config); err != nil {
		t.Fatal(err)
	}
	if config.Config.Labels["a.b"] != "c d" {
		t.Errorf("labels are %v", config.Config.Labels)
	}
}

// TestNode: any BuildKit daemon by its address, here another engine.
func TestNode(t *testing.T) {
	out := t.TempDir()
	mabuild(t, "engine", "du") // starts the engine
	address := "unix://" + filepath.Join(shared.state, "engine.sock")
	for _, args := range [][]string{{"--node", address}, nil} {
		cmd := command(t, append(args, "--platform", "linux/s390x", "-o", out, archProject(t))...)
		cmd.Env = append(cmd.Env, "MABUILD_STATE_DIR=/nonexistent/state", "BUILDKIT_HOST="+address)
		if res := finish(t, cmd); res.code != 0 {
			t.Fatal(res.stderr)
		}
	}
}

// TestSeveralOutputs makes all kinds of results by one build: the steps run once, and
// every image has the same digest.
func TestSeveralOutputs(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\n"})
	image, out := store.Addr+"/several:1", t.TempDir()
	archive, files, one := filepath.Join(out, "a.tar"), filepath.Join(out, "files"), filepath.Join(out, "fs.tar")
	built := mabuild(t, "--platform", "linux/amd64,linux/arm64", "-t", image, "-o", "type=registry", "-o", "type=image",
		"-o", "type=oci,dest="+archive, "-o", files, "-o", "type=tar,dest="+one, dir)
	digest := strings.TrimSpace(built.stdout)
	for _, source := range []string{"store", "registry"} {
		if shown := mabuild(t, "inspect", "--source="+source, image); !strings.Contains(shown.stdout, digest) {
			t.Errorf("%s has another image:\n%s", source, shown.stdout)
		}
	}
	if index := readTar(t, archive)["index.json"]; !strings.Contains(index, digest) {
		t.Errorf("the archive has another image: %s", index)
	}
	id, err := os.ReadFile(filepath.Join(files, "linux_arm64", "id"))
	if err != nil || readTar(t, one)["linux_arm64/id"] != string(id) {
		t.Errorf("the file systems differ: %q, %v", id, err)
	}
}
