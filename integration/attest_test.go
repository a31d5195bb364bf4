package integration

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/contexts/contextstest"
	"github.com/mabuild/mabuild/integration/testbed"
)

// httpServer returns the address of a server that BuildKit takes for one without TLS.
func httpServer(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// statement is an in-toto statement as far as it matters here.
type statement struct {
	PredicateType string `json:"predicateType"`
	Subject       []struct {
		Name   string            `json:"name"`
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
	Predicate struct {
		Name    string `json:"name"` // of an SPDX document
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
		RunDetails struct {
			Builder struct {
				ID string `json:"id"`
			} `json:"builder"`
		} `json:"runDetails"`
		Materials       []struct{ URI string } `json:"materials"`
		BuildDefinition struct {
			ResolvedDependencies []struct{ URI string } `json:"resolvedDependencies"`
		} `json:"buildDefinition"`
	} `json:"predicate"`
}

// statements reads the attestations of one platform's image, by predicate type.
func statements(t *testing.T, ref, platform string) map[string]statement {
	t.Helper()
	index := indexOf(t, ref)
	var image ocispec.Descriptor
	for _, m := range index.Manifests {
		if m.Platform.OS+"/"+m.Platform.Architecture == platform {
			image = m
		}
	}
	found := make(map[string]statement)
	for _, m := range index.Manifests {
		if m.Annotations["vnd.docker.reference.digest"] != image.Digest.String() {
			continue
		}
		if m.Platform.OS != "unknown" || m.Annotations["vnd.docker.reference.type"] != "attestation-manifest" {
			t.Errorf("the attestation's entry is %+v", m)
		}
		var manifest ocispec.Manifest
		fetch(t, ref, m.Digest.String(), &manifest)
		for _, layer := range manifest.Layers {
			var s statement
			blobOf(t, ref, layer, &s)
			found[s.PredicateType] = s
			if len(s.Subject) == 0 || "sha256:"+s.Subject[0].Digest["sha256"] != image.Digest.String() {
				t.Errorf("%s is about %+v, want %s", s.PredicateType, s.Subject, image.Digest)
			}
		}
	}
	return found
}

// TestAttestations: none unless asked for; those asked for are in the index, each with
// its image (cases 59, 61).
func TestAttestations(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	dir := archProject(t)
	plain := store.Addr + "/plain:1"
	mabuild(t, "--platform", pair, "-t", plain, "--push", dir)
	if n := len(indexOf(t, plain).Manifests); n != 2 {
		t.Errorf("%d entries without attestations", n)
	}
	image := store.Addr + "/attested:1"
	first := mabuild(t, "--platform", pair, "-t", image, "--push", "--provenance=mode=max,builder-id=https://ci.example/7", dir)
	var kinds []string
	for _, m := range indexOf(t, image).Manifests {
		kinds = append(kinds, m.Platform.OS+"/"+m.Platform.Architecture)
	}
	if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64", "unknown/unknown", "unknown/unknown"}, kinds); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	for _, platform := range strings.Split(pair, ",") {
		for kind, s := range statements(t, image, platform) {
			materials := len(s.Predicate.Materials) + len(s.Predicate.BuildDefinition.ResolvedDependencies)
			if id := s.Predicate.Builder.ID + s.Predicate.RunDetails.Builder.ID; id != "https://ci.example/7" || materials == 0 {
				t.Errorf("%s: %s is by %q with %d materials", platform, kind, id, materials)
			}
		}
		if len(statements(t, image, platform)) != 1 {
			t.Errorf("%s has the attestations %v", platform, statements(t, image, platform))
		}
	}
	if first.stdout == "" {
		t.Error("no digest on standard output")
	}
	// One platform with attestations is an index; without, it is none (case 60).
	single := store.Addr + "/single:1"
	mabuild(t, "--platform", "linux/arm64", "-t", single, "--push", "--attest", "type=provenance", dir)
	if len(statements(t, single, "linux/arm64")) != 1 {
		t.Error("a single platform has no attestation")
	}
	// The image store and archives keep them.
	mabuild(t, "--platform", pair, "-t", store.Addr+"/kept:1", "--provenance=true", dir)
	mabuild(t, "push", store.Addr+"/kept:1")
	if s := statements(t, store.Addr+"/kept:1", "linux/arm64"); len(s) != 1 {
		t.Errorf("kept attestations %v", s)
	}
	mabuild(t, "--platform", pair, "--provenance=true", "-o", "type=oci,dest="+filepath.Join(t.TempDir(), "a.tar"), dir)
	mabuild(t, "--platform", pair, "-t", plain, "--push", "--provenance=false", dir)
	if n := len(indexOf(t, plain).Manifests); n != 2 {
		t.Errorf("%d entries with --provenance=false", n)
	}
	for _, flag := range []string{"--provenance=mode", "--attest=type=rumour", "--attest=generator=x"} {
		fails(t, command(t, flag, dir), 2, "attestation")
	}
}

// TestSBOM: a generator from a registry says what is in every platform's image.
func TestSBOM(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	generator := store.Addr + "/generator:1"
	mabuild(t, "--platform", "linux/amd64", "-t", generator, "--push", project(t, map[string]string{
		"scan.sh": "#!/bin/sh\ntest -n \"$BUILDKIT_SCAN_SOURCE\" && cat > $BUILDKIT_SCAN_DESTINATION/sbom.spdx.json <<EOF\n" +
			`{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document", "predicate": {"SPDXID": "SPDXRef-DOCUMENT", "spdxVersion": "SPDX-2.3", "name": "scanned"}}` +
			"\nEOF\n",
		"Dockerfile": "FROM busybox\nCOPY --chmod=755 scan.sh /\nENTRYPOINT [\"/scan.sh\"]\n",
	}))
	image := store.Addr + "/listed:1"
	mabuild(t, "--platform", pair, "-t", image, "--push", "--sbom=generator="+generator, archProject(t))
	for _, platform := range strings.Split(pair, ",") {
		found := statements(t, image, platform)
		if s, ok := found["https://spdx.dev/Document"]; !ok || s.Predicate.Name != "scanned" {
			t.Errorf("%s has %+v", platform, found)
		}
	}
}

// TestAnnotations are at every level that buildx names (case 71).
func TestAnnotations(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	image := store.Addr + "/annotated:1"
	dir := archProject(t)
	flags := []string{
		"--annotation", "plain=a=b", "--annotation", "index:top=1", "--annotation", "manifest,manifest-descriptor:both=2",
		"--annotation", "manifest[linux/arm64]:own=arm", "--annotation", "manifest-descriptor[linux/amd64]:own=amd",
	}
	mabuild(t, append(flags, "--platform", pair, "-t", image, "--push", dir)...)
	index := indexOf(t, image)
	if diff := cmp.Diff(map[string]string{"top": "1"}, index.Annotations); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
	for i, want := range []map[string]string{{"both": "2", "own": "amd"}, {"both": "2"}} {
		if diff := cmp.Diff(want, index.Manifests[i].Annotations); diff != "" {
			t.Errorf("entry %d (-want +got):\n%s", i, diff)
		}
	}
	for platform, want := range map[string]map[string]string{
		"linux/amd64": {"plain": "a=b", "both": "2"}, "linux/arm64": {"plain": "a=b", "both": "2", "own": "arm"},
	} {
		if diff := cmp.Diff(want, manifestOf(t, image, platform).Annotations); diff != "" {
			t.Errorf("%s (-want +got):\n%s", platform, diff)
		}
	}
	layout := filepath.Join(t.TempDir(), "layout")
	mabuild(t, "--platform", pair, "-o", "type=oci,tar=false,dest="+layout, "--annotation", "index-descriptor:entry=3", dir)
	if text, err := os.ReadFile(filepath.Join(layout, "index.json")); err != nil || !strings.Contains(string(text), `"entry":"3"`) {
		t.Errorf("index.json is %s (%v)", text, err)
	}
	fails(t, command(t, "--platform", "linux/amd64", "--annotation", "index:x=y", dir), 2, "without an index")
	for _, wrong := range []string{"novalue", "moon:x=y", "index[linux/arm64]:x=y", "=x", "manifest[linux/arm46]:x=y"} {
		fails(t, command(t, "--annotation", wrong, dir), 2)
	}
}

// TestGitLabels: images say which commit they are of, and so does provenance.
func TestGitLabels(t *testing.T) {
	server := contextstest.New(t)
	repository := server.Repository(t, "app")
	commit := repository.Commit("main", map[string]string{"app/Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
	work := filepath.Join(t.TempDir(), "work")
	repository.Git("clone", "--quiet", repository.URL, work)
	store := registry(t, testbed.RegistryOptions{})
	image := store.Addr + "/git:1"
	mabuild(t, "--platform", pair, "-t", image, "--push", "--git-labels", "--label", "org.opencontainers.image.source=own", "--provenance=mode=max", filepath.Join(work, "app"))
	want := map[string]string{
		ocispec.AnnotationRevision: commit, ocispec.AnnotationSource: "own", "com.docker.image.source.entrypoint": "app/Dockerfile",
	}
	for _, platform := range strings.Split(pair, ",") {
		if diff := cmp.Diff(want, configOf(t, image, platform).Config.Labels); diff != "" {
			t.Errorf("%s (-want +got):\n%s", platform, diff)
		}
	}
	var raw strings.Builder
	for _, m := range indexOf(t, image).Manifests {
		if m.Platform.OS != "unknown" {
			continue
		}
		var manifest ocispec.Manifest
		fetch(t, image, m.Digest.String(), &manifest)
		for _, layer := range manifest.Layers {
			var body json.RawMessage
			blobOf(t, image, layer, &body)
			raw.Write(body)
		}
	}
	if !strings.Contains(raw.String(), commit) || !strings.Contains(raw.String(), repository.URL) {
		t.Errorf("provenance says nothing of %s:\n%s", commit, raw.String())
	}
}
