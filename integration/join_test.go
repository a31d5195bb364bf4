package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/integration/testbed"
)

// written are the manifests that a registry was sent, after so many requests: tags by
// name, the rest as "digest".
func written(r *testbed.Registry, skip int) []string {
	var list []string
	for _, request := range r.Requests()[skip:] {
		if request.Method == http.MethodPut && strings.Contains(request.Path, "/manifests/") {
			object := request.Path[strings.LastIndexByte(request.Path, '/')+1:]
			if strings.HasPrefix(object, "sha256:") {
				object = "digest"
			}
			list = append(list, object)
		}
	}
	return list
}

// TestJoin is the way of images that were built apart (cases 56 and 64): one in a
// registry, one in another, one in the image store. They become the index that one
// build would have made, in two registries, tags last.
func TestJoin(t *testing.T) {
	one, two, to, also := registry(t, testbed.RegistryOptions{}), registry(t, testbed.RegistryOptions{}), registry(t, testbed.RegistryOptions{}), registry(t, testbed.RegistryOptions{})
	dir := archProject(t)
	amd64, arm64, kept := one.Addr+"/app:amd64", two.Addr+"/part/arm64", one.Addr+"/kept:s390x"
	mabuild(t, "--platform", "linux/amd64", "-t", amd64, "--push", dir)
	mabuild(t, "--platform", "linux/arm64", "-t", arm64, "--push", dir)
	mabuild(t, "--platform", "linux/s390x", "-t", kept, dir)
	names := []string{to.Addr + "/app:1", to.Addr + "/app:latest", also.Addr + "/mirror:1"}

	dry := mabuild(t, "join", "--dry-run", "-t", names[0], amd64, arm64, kept)
	if len(written(to, 0)) > 0 || !strings.Contains(dry.stderr, names[0]+" would be new") || !strings.Contains(dry.stderr, "lacks linux/s390x: 3 objects") {
		t.Errorf("a dry run wrote %q and said:\n%s", written(to, 0), dry.stderr)
	}
	var planned ocispec.Index
	if err := json.Unmarshal([]byte(dry.stdout), &planned); err != nil || len(planned.Manifests) != 3 {
		t.Errorf("a dry run printed %s: %v", dry.stdout, err)
	}

	before := len(to.Requests())
	metadata := filepath.Join(t.TempDir(), "metadata.json")
	joined := mabuild(t, "join", "-t", names[0], "-t", names[1], "-t", names[2], "--metadata-file", metadata, amd64, arm64, kept)
	digest := strings.TrimSpace(joined.stdout)
	for _, name := range names {
		checkIndex(t, name, digest, "linux/amd64,linux/arm64,linux/s390x")
		mabuild(t, "verify", name) // reads all layers
	}
	if want := []string{"digest", "digest", "digest", "1", "latest"}; !slices.Equal(written(to, before), want) {
		t.Errorf("manifests were put in the order %q, want %q", written(to, before), want)
	}
	if raw := mabuild(t, "inspect", "--source=registry", "--raw", names[0]).stdout; raw+"\n" != dry.stdout {
		t.Errorf("the dry run printed\n%s, the index is\n%s", dry.stdout, raw)
	}
	body, err := os.ReadFile(metadata)
	if err != nil || !bytes.Contains(body, []byte(digest)) || !bytes.Contains(body, []byte("linux/s390x")) {
		t.Errorf("the metadata is %s, %v", body, err)
	}
	whole := mabuild(t, "--platform", "linux/amd64,linux/arm64,linux/s390x", "-t", one.Addr+"/whole:1", "--push", dir)
	if whole.stdout != joined.stdout {
		t.Errorf("one build made %s, joining its parts %s", whole.stdout, joined.stdout)
	}

	// Once more is a success that writes nothing (case 55).
	before = len(to.Requests())
	again := mabuild(t, "join", "-t", names[0], amd64, arm64, kept)
	if again.stdout != joined.stdout || len(written(to, before)) > 0 {
		t.Errorf("joining again printed %s and wrote %q", again.stdout, written(to, before))
	}
}

// TestJoinReplace is case 65: one platform is replaced by another image, within one
// repository, and a part is named by its digest alone.
func TestJoinReplace(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	app := store.Addr + "/app"
	mabuild(t, "--platform", "linux/amd64,linux/arm64", "-t", app+":1", "--push", archProject(t))
	other := project(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /other\n"})
	fixed := strings.TrimSpace(mabuild(t, "--platform", "linux/arm64", "-t", app+":fixed", "--push", other).stdout)

	fails(t, command(t, "join", "-t", app+":2", app+":1", fixed), 2, "linux/arm64 is in "+app+":1", app+"@"+fixed, "PLATFORM=SOURCE")
	fails(t, command(t, "join", "-t", app+":2", "linux/s390x="+app+":1"), 2, "has no linux/s390x", "linux/amd64, linux/arm64")
	if slices.Contains(written(store, 0), "2") {
		t.Error("a refused join wrote the tag")
	}
	replaced := mabuild(t, "join", "-t", app+":2", "--annotation", "org.example.key=a=b", "linux/amd64="+app+":1", fixed)
	checkIndex(t, app+":2", strings.TrimSpace(replaced.stdout), "linux/amd64,linux/arm64")
	shown := mabuild(t, "inspect", "--source=registry", "--raw", app+":2").stdout
	if !strings.Contains(shown, fixed) || !strings.Contains(shown, `"org.example.key": "a=b"`) {
		t.Errorf("the index is\n%s", shown)
	}
}

// TestJoinFails: the exit code says whose fault it is, and no tag is left behind
// (cases 54 and 89).
func TestJoinFails(t *testing.T) {
	from, good := registry(t, testbed.RegistryOptions{}), registry(t, testbed.RegistryOptions{})
	readOnly := registry(t, testbed.RegistryOptions{ReadOnly: true})
	image := from.Addr + "/app:1"
	mabuild(t, "--platform", "linux/amd64,linux/arm64", "-t", image, "--push", archProject(t))
	fails(t, command(t, "join", "-t", good.Addr+"/app:1", "--source=store", "nothing"), 1, "no such image", "`mabuild images` lists")
	fails(t, command(t, "join", "-t", good.Addr+"/app:1", from.Addr+"/nothere:1"), 6, from.Addr+"/nothere:1", "check the name")
	fails(t, command(t, "join", "-t", good.Addr+"/app:1", "-t", readOnly.Addr+"/app:1", image), 6,
		"copying linux/", "of "+image+" to "+readOnly.Addr+"/app", "read-only")
	if tags := written(good, 0); slices.Contains(tags, "1") {
		t.Errorf("a registry was sent %q although another one failed", tags)
	}
}

// TestJoinInterrupted: nothing is tagged, and the exit code is that of an interrupt.
func TestJoinInterrupted(t *testing.T) {
	from := registry(t, testbed.RegistryOptions{})
	reached := make(chan struct{}, 100)
	to := registry(t, testbed.RegistryOptions{Middleware: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/uploads/") {
				_, _ = io.Copy(io.Discard, r.Body)
				reached <- struct{}{}
				<-r.Context().Done() // as long as the client has patience
				return
			}
			next.ServeHTTP(w, r)
		})
	}})
	image := from.Addr + "/app:1"
	mabuild(t, "--platform", "linux/amd64,linux/arm64", "-t", image, "--push", archProject(t))
	ctx, interrupt := context.WithCancelCause(t.Context())
	defer interrupt(nil)
	like := command(t, "join", "-t", to.Addr+"/app:1", image)
	cmd := exec.CommandContext(ctx, like.Path, like.Args[1:]...)
	cmd.Env, cmd.WaitDelay = like.Env, like.WaitDelay
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	go func() {
		<-reached
		interrupt(nil)
	}()
	fails(t, cmd, 130, "interrupted")
	if len(written(to, 0)) > 0 {
		t.Errorf("an interrupted join wrote %q", written(to, 0))
	}
}

// TestJoinAttested is cases 58 and 61: parts with provenance are indexes themselves.
// The joined index is flat, and every attestation is beside its image.
func TestJoinAttested(t *testing.T) {
	store, to := registry(t, testbed.RegistryOptions{}), registry(t, testbed.RegistryOptions{})
	dir := archProject(t)
	args := []string{"join", "-t", to.Addr + "/app:1"}
	for _, arch := range []string{"amd64", "arm64"} {
		image := store.Addr + "/app:" + arch
		mabuild(t, "--platform", "linux/"+arch, "--provenance=true", "-t", image, "--push", dir)
		args = append(args, image)
	}
	joined := mabuild(t, args...)
	if !strings.Contains(joined.stderr, "with 1 attestation") {
		t.Errorf("join says nothing of attestations:\n%s", joined.stderr)
	}
	checkIndex(t, to.Addr+"/app:1", strings.TrimSpace(joined.stdout), "linux/amd64,linux/arm64")
	var index ocispec.Index
	if err := json.Unmarshal([]byte(mabuild(t, "inspect", "--source=registry", "--raw", to.Addr+"/app:1").stdout), &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 4 {
		t.Fatalf("the index is not flat: %+v", index.Manifests)
	}
	for i, image := range index.Manifests[:2] {
		if got := index.Manifests[i+2].Annotations["vnd.docker.reference.digest"]; got != image.Digest.String() {
			t.Errorf("entry %d is about %s, want %s", i+2, got, image.Digest)
		}
	}
	before := len(to.Requests())
	if again := mabuild(t, "join", "-t", to.Addr+"/app:1", to.Addr+"/app:1"); again.stdout != joined.stdout || len(written(to, before)) > 0 {
		t.Errorf("joining what was joined printed %s and wrote %q", again.stdout, written(to, before))
	}
}
