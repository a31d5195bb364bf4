package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/integration/testbed"
)

// tocDigest is the annotation by which a layer in the eStargz format is known.
const tocDigest = "containerd.io/snapshot/stargz/toc.digest"

// compressionsOf says how the layers of an archive's first platform are compressed.
func compressionsOf(t *testing.T, file string) []string {
	t.Helper()
	files := readTar(t, file)
	blob := func(desc ocispec.Descriptor, into any) {
		t.Helper()
		if err := json.Unmarshal([]byte(files["blobs/sha256/"+desc.Digest.Encoded()]), into); err != nil {
			t.Fatal(err)
		}
	}
	var top, all ocispec.Index
	if err := json.Unmarshal([]byte(files["index.json"]), &top); err != nil {
		t.Fatal(err)
	}
	blob(top.Manifests[0], &all)
	var manifest ocispec.Manifest
	blob(all.Manifests[0], &manifest)
	var kinds []string
	for _, layer := range manifest.Layers {
		kind := layer.MediaType[strings.LastIndexByte(layer.MediaType, '.')+1:]
		if layer.Annotations[tocDigest] != "" {
			kind += " estargz"
		}
		kinds = append(kinds, kind)
	}
	return kinds
}

// TestOutputVariants makes images with all compressions by one build, in which the
// steps run once, and says which is which.
func TestOutputVariants(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\n"})
	out := t.TempDir()
	path := func(name string) string { return filepath.Join(out, name) }
	pushed := store.Addr + "/variants:estargz"
	built := mabuild(t, "--platform", pair, "--no-cache", "-t", "variants:1",
		"-o", "type=oci,dest="+path("gzip.tar"), "-o", "type=oci,dest="+path("zstd.tar")+",compression=zstd",
		"-o", "type=oci,dest="+path("estargz.tar")+",compression=estargz", "-o", "type=oci,dest="+path("plain.tar")+",compression=uncompressed",
		"-o", "type=oci,tar=false,dest="+path("a"), "-o", "type=oci,tar=false,compression=zstd,dest="+path("b"),
		"-o", path("files"), "--metadata-file", path("meta.json"), dir)
	for file, kind := range map[string]string{
		"gzip.tar": "tar+gzip", "zstd.tar": "tar+zstd", "estargz.tar": "tar+gzip estargz", "plain.tar": "tar",
	} {
		if diff := cmp.Diff([]string{kind, kind}, compressionsOf(t, path(file))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
	var meta struct {
		Images []struct {
			Digest     string
			Attributes string
		} `json:"mabuild.images"`
	}
	body, err := os.ReadFile(path("meta.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &meta); err != nil || len(meta.Images) != 4 {
		t.Fatalf("metadata %s, error %v", body, err)
	}
	if first := strings.TrimSpace(built.stdout); first != meta.Images[0].Digest {
		t.Errorf("standard output has %s, the first output %s", first, meta.Images[0].Digest)
	}
	for i, layout := range []string{"a", "b"} { // of the first two images
		index, err := os.ReadFile(filepath.Join(path(layout), "index.json"))
		if err != nil || !strings.Contains(string(index), meta.Images[i].Digest) {
			t.Errorf("%s has %s (%v), want %s", layout, index, err, meta.Images[i].Digest)
		}
		if left, err := os.ReadDir(filepath.Join(path(layout), "blobs", "sha256")); err != nil || len(left) != 9 {
			t.Errorf("%s has %d blobs, %v; want an index and for each platform a manifest, a config and two layers", layout, len(left), err)
		}
	}
	if left, _ := filepath.Glob(path(".*")); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
	// Pushed and kept, each by its own name.
	mabuild(t, "--platform", pair, "-o", "type=registry,compression=estargz,name="+pushed, "-o", "type=registry,name="+store.Addr+"/variants:gzip", "-o", "type=image,name=variants:zstd,compression=zstd", dir)
	for name, want := range map[string]bool{pushed: true, store.Addr + "/variants:gzip": false} {
		if got := manifestOf(t, name, "linux/arm64").Layers[1].Annotations[tocDigest] != ""; got != want {
			t.Errorf("%s is estargz: %v", name, got)
		}
	}
	if shown := mabuild(t, "inspect", "--source=store", "--raw", "variants:zstd").stdout; !strings.Contains(shown, "linux") {
		t.Errorf("the image store has %s", shown)
	}
}

// TestOutputByDigest pushes without a tag, as jobs do whose images are joined later.
func TestOutputByDigest(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	repository := store.Addr + "/untagged"
	for _, platform := range []string{pair, "linux/arm64"} {
		res := mabuild(t, "--platform", platform, "-o", "type=image,name="+repository+",push-by-digest=true,name-canonical=true,push=true", archProject(t))
		digest := strings.TrimSpace(res.stdout)
		if !strings.Contains(res.stderr, "Pushed "+repository+"@"+digest) {
			t.Errorf("it says:\n%s", res.stderr)
		}
		if shown := mabuild(t, "inspect", "--source=registry", repository+"@"+digest).stdout; !strings.Contains(shown, "linux/arm64") {
			t.Errorf("inspect shows:\n%s", shown)
		}
	}
	for _, r := range store.Requests() {
		if r.Method == "PUT" && strings.Contains(r.Path, "/manifests/") && !strings.Contains(r.Path, "/manifests/sha256:") {
			t.Errorf("a tag was written: %s", r.Path)
		}
	}
}

// TestOutputSubjects: attestations are about the names with their tags, wherever they
// are, and templates read them.
func TestOutputSubjects(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	dir := archProject(t)
	image := store.Addr + "/sub/app"
	mabuild(t, "--platform", pair, "-t", image+":1.2", "-t", image+":latest", "--push", "--provenance=mode=max", dir)
	mabuild(t, "--platform", pair, "-t", image+":kept", "-o", "type=registry", "-o", "type=image", "--provenance=true", dir)
	for tag, want := range map[string][]string{"1.2": {"1.2", "latest"}, "kept": {"kept"}} {
		for _, arch := range []string{"amd64", "arm64"} {
			for kind, s := range statements(t, image+":"+tag, "linux/"+arch) {
				var names, wanted []string
				for _, subject := range s.Subject {
					names = append(names, subject.Name)
				}
				for _, tag := range want {
					wanted = append(wanted, "pkg:docker/"+image+"@"+tag+"?platform=linux%2F"+arch)
				}
				if diff := cmp.Diff(wanted, names); diff != "" {
					t.Errorf("%s of %s for %s (-want +got):\n%s", kind, tag, arch, diff)
				}
			}
		}
	}
	format := func(template string, args ...string) string {
		return strings.TrimSpace(mabuild(t, append([]string{"inspect", "--format", template}, args...)...).stdout)
	}
	for _, source := range []string{"store", "registry"} {
		from := []string{"--source=" + source, image + ":kept"}
		for template, want := range map[string]string{
			`{{(index .Image "linux/arm64").Architecture}}`:                                                   "arm64",
			`{{range $p, $v := .Provenance}}{{$p}} {{end}}`:                                                   "linux/amd64 linux/arm64",
			`{{len .Manifest.Manifests}} {{.Name}}`:                                                           "4 " + image + ":kept",
			`{{len .SBOM}} {{(index .SBOM "linux/arm64").SPDX}}`:                                              "2 <no value>",
			`{{(index .Provenance "linux/amd64").SLSA.buildDefinition.externalParameters.configSource.path}}`: "Dockerfile",
		} {
			if got := format(template, from...); got != want {
				t.Errorf("%s of the %s is %q, want %q", template, source, got, want)
			}
		}
		one := format(`{{.Image.Architecture}} {{.Manifest.MediaType}} {{len .Provenance.SLSA.buildDefinition.resolvedDependencies}}`, append(from, "--platform", "linux/arm64")...)
		if want := "arm64 " + ocispec.MediaTypeImageManifest + " 1"; one != want {
			t.Errorf("with --platform: %q, want %q", one, want)
		}
	}
	fails(t, command(t, "inspect", "--format", "{{.Nothing}}", image+":kept"), 1, "Nothing")
	fails(t, command(t, "inspect", "--format", "{{.Name", image+":kept"), 2, "unclosed")
	fails(t, command(t, "inspect", "--format", "x", "--platform", "linux/s390x", image+":kept"), 2, "it has linux/amd64,linux/arm64")
}

// TestOutputDocker: archives and Docker itself, of one build.
func TestOutputDocker(t *testing.T) {
	docker := startDocker(t)
	host := strings.TrimSpace(docker(t, "context", "inspect", "default", "--format", "{{.Endpoints.docker.Host}}"))
	archive := filepath.Join(t.TempDir(), "hello.tar")
	cmd := command(t, "--platform", pair, "-t", "hello:loaded", "-o", "type=docker", "-o", "type=docker,dest="+archive, filepath.Join("..", "examples", "hello"))
	cmd.Env = append(cmd.Env, "DOCKER_HOST="+host, "DOCKER_CONTEXT=")
	if res := finish(t, cmd); res.code != 0 || !strings.Contains(res.stderr, "Loaded docker.io/library/hello:loaded for linux/amd64") {
		t.Fatalf("exit code %d\n%s", res.code, res.stderr)
	}
	if got := docker(t, "run", "--rm", "--network", "none", "hello:loaded"); got != "Hello from x86_64\n" {
		t.Errorf("what was loaded ran %q", got)
	}
	docker(t, "rmi", "hello:loaded")
	docker(t, "load", "--input", archive)
	if got := docker(t, "run", "--rm", "--network", "none", "hello:loaded"); got != "Hello from x86_64\n" {
		t.Errorf("the archive ran %q", got)
	}
}
