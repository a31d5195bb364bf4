package registry_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

// Row 11 of the fault table, case 76.
func TestCopySurvives(t *testing.T) {
	const blobs = 6 // two configs, four layers, of which two are equal pairs
	tests := []struct {
		name string
		rule registrytest.Rule
	}{
		{"reset in a blob", registrytest.Rule{Method: "PUT", Path: registrytest.Uploads, Times: 1, Fault: registrytest.Reset(1 << 10)}},
		{"reset in a blob twice", registrytest.Rule{Method: "PUT", Path: registrytest.Uploads, Times: 2, Fault: registrytest.Reset(1 << 10)}},
		{"reset before a blob", registrytest.Rule{Method: "POST", Path: registrytest.Uploads, Times: 1, Fault: registrytest.Reset(0)}},
		{"reset after a blob", registrytest.Rule{Method: "PUT", Path: registrytest.Uploads, Times: 1, Fault: registrytest.StoredReset()}},
		{"reset in a manifest", registrytest.Rule{Method: "PUT", Path: registrytest.Manifests, Times: 2, Fault: registrytest.Reset(10)}},
		{"reset after a manifest", registrytest.Rule{Method: "PUT", Path: registrytest.Manifests, Times: 1, Fault: registrytest.StoredReset()}},
		{"reset while looking", registrytest.Rule{Method: "HEAD", Times: 2, Fault: registrytest.Reset(0)}},
		{"502 at the start of an upload", registrytest.Rule{Method: "POST", Path: registrytest.Uploads, Times: 2, Fault: registrytest.Status(502, "")}},
		{"502 in an upload", registrytest.Rule{Method: "PUT", Path: registrytest.Uploads, Times: 2, Fault: registrytest.Status(502, "")}},
		{"504 after an upload", registrytest.Rule{Method: "PUT", Path: registrytest.Uploads, Times: 1, Fault: registrytest.Stored(504)}},
		{"500 in an upload", registrytest.Rule{Method: "PUT", Path: registrytest.Uploads, Times: 1, Fault: registrytest.Status(500, "")}},
		{"upload forgotten", registrytest.Rule{Method: "PUT", Path: registrytest.Uploads, Times: 1, Fault: registrytest.Refuse(404, "BLOB_UPLOAD_UNKNOWN", "who?")}},
		{"429 to uploads", registrytest.Rule{Method: "PUT", Path: registrytest.Uploads, Times: 3, Fault: registrytest.Status(429, "", "Retry-After", "2")}},
		{"429 to everything", registrytest.Rule{Times: 10, Fault: registrytest.Status(429, "", "Retry-After", "1")}},
		{"503 to uploads", registrytest.Rule{Method: "PUT", Path: registrytest.Uploads, Times: 3, Fault: registrytest.Status(503, "")}},
		{"503 to manifests", registrytest.Rule{Method: "PUT", Path: registrytest.Manifests, Times: 3, Fault: registrytest.Status(503, "")}},
		{"504 to stored manifests", registrytest.Rule{Method: "PUT", Path: registrytest.Manifests, Times: 3, Fault: registrytest.Stored(504)}},
	}
	for _, test := range tests {
		for name, backend := range backends(t) {
			t.Run(test.name+" "+name, func(t *testing.T) {
				proxy := registrytest.New(t, backend)
				proxy.Add(test.rule)
				client, _ := newClient(t, registry.Options{})
				src := newStore()
				// Large enough that an upload is cut in the middle.
				root := src.index(t, src.image(t, "amd64", 1, 300, 400_000), src.image(t, "arm64", 2, 300, 400_000))
				ref := proxy.Host() + "/app:v1"
				mustCopy(t, client, ref, src, root)
				checkTag(t, client, ref, root)
				if n := proxy.Count("PUT", registrytest.Uploads); n > blobs+4 {
					t.Errorf("made %d uploads for %d blobs", n, blobs)
				}
			})
		}
	}
}

// Case 77: what doesn't help is not repeated, and the user learns why.
func TestCopyRefused(t *testing.T) {
	tests := []struct {
		name        string
		fault       registrytest.Fault
		path        string
		text, hint  string
		status      int
		wantRepeats bool
	}{
		{name: "413 page", path: registrytest.Uploads, fault: registrytest.Status(413, "<html><head><title>413 Request Entity Too Large</title></head></html>"), text: "413 Request Entity Too Large", hint: "client_max_body_size", status: 413},
		{name: "413 early", path: registrytest.Uploads, fault: registrytest.Early(413, "too large"), text: "413 Request Entity Too Large: too large", hint: "client_max_body_size", status: 413},
		{name: "403", path: registrytest.Uploads, fault: registrytest.Refuse(403, "DENIED", "quota exceeded"), text: "DENIED: quota exceeded", hint: "docker login", status: 403},
		{name: "404 repository", path: registrytest.Uploads, fault: registrytest.Refuse(404, "NAME_UNKNOWN", "The repository with name 'app' does not exist"), text: "does not exist", hint: "create the repository app", status: 404},
		{name: "400 manifest", path: registrytest.Manifests, fault: registrytest.Refuse(400, "MANIFEST_INVALID", "attestations not supported"), text: "attestations not supported", hint: "--provenance=false", status: 400},
		{name: "405", path: registrytest.Uploads, fault: registrytest.Refuse(405, "UNSUPPORTED", "read-only"), text: "read-only", status: 405},
		{name: "500 for ever", path: registrytest.Manifests, fault: registrytest.Refuse(500, "UNKNOWN", "disk full"), text: "disk full", hint: "try again later", status: 500, wantRepeats: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			proxy := registrytest.New(t, registrytest.Memory())
			for _, method := range []string{"PUT", "POST"} {
				if strings.HasPrefix(test.name, "413") && method == "POST" {
					continue // it is the body that is too large
				}
				proxy.Add(registrytest.Rule{Method: method, Path: test.path, Fault: test.fault})
			}
			client, clock := newClient(t, registry.Options{Parallel: 1})
			src := newStore()
			err := client.Copy(t.Context(), proxy.Host()+"/app:v1", src, src.image(t, "amd64", 1, 4<<20))
			described := wantError(t, err, test.text, test.hint)
			if described.Status != test.status || described.Op != "pushing" || described.Reference != proxy.Host()+"/app:v1" {
				t.Errorf("got %+v", described)
			}
			if _, naps := clock.Slept(); (naps > 0) != test.wantRepeats || naps > 2 {
				t.Errorf("waited %d times", naps)
			}
			if described.Transient() != test.wantRepeats {
				t.Errorf("transient is %v", described.Transient())
			}
		})
	}
}

func TestCopyReportsItsSource(t *testing.T) {
	proxy := registrytest.New(t, registrytest.Memory())
	client, clock := newClient(t, registry.Options{})
	src := newStore()
	root := src.image(t, "amd64", 1, 100_000)
	layer := src.layers(t, root)[0]
	full := src.content[layer.Digest]

	src.content[layer.Digest] = full[:1000]
	wantError(t, client.Copy(t.Context(), proxy.Host()+"/app:v1", src, root), "ends after 1000 of 100000 bytes", "")

	delete(src.content, layer.Digest)
	wantError(t, client.Copy(t.Context(), proxy.Host()+"/app:v1", src, root), "the store has no "+layer.Digest.String(), "")

	src.content[root.Digest] = append([]byte(" "), src.content[root.Digest][1:]...)
	err := client.Copy(t.Context(), proxy.Host()+"/app:v1", src, root)
	wantError(t, err, "reading the manifest "+root.Digest.String(), "")
	if !errors.Is(err, registry.ErrDigest) {
		t.Errorf("got %v", err)
	}
	if _, naps := clock.Slept(); naps > 0 {
		t.Errorf("waited %d times for a source that won't get better", naps)
	}
	if n := proxy.Count("PUT", registrytest.Manifests); n != 0 {
		t.Errorf("%d manifests were written", n)
	}
}

func TestCopyRefusesDeepIndexes(t *testing.T) {
	proxy := registrytest.New(t, registrytest.Memory())
	client, _ := newClient(t, registry.Options{})
	src := newStore()
	root := src.image(t, "amd64", 1, 10)
	for range 5 {
		root = src.index(t, root)
	}
	wantError(t, client.Copy(t.Context(), proxy.Host()+"/app:v1", src, root), "nested", "")
}

// endless is a layer that is made while it is read.
type endless struct {
	*store
	large ocispec.Descriptor
	reads atomic.Int64
}

func (e *endless) Open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if desc.Digest != e.large.Digest {
		return e.store.Open(ctx, desc)
	}
	e.reads.Add(1)
	return io.NopCloser(io.LimitReader(zeros{}, desc.Size)), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Blobs are streamed: 64 MiB go through a few MiB of memory.
func TestCopyNeedsLittleMemory(t *testing.T) {
	const size = 64 << 20
	backend := registrytest.Memory()
	proxy := registrytest.New(t, backend)
	proxy.Add(registrytest.Rule{
		Method: "PUT", Path: registrytest.Uploads, When: func(r *http.Request) bool { return r.ContentLength == size },
		Fault: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, make([]byte, 64<<10))
			w.WriteHeader(http.StatusCreated)
		},
	})
	client, _ := newClient(t, registry.Options{})
	src := &endless{store: newStore()}
	src.large = ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageLayer, Size: size,
		Digest: "sha256:3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351",
	}
	root := src.addJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: src.add(ocispec.MediaTypeImageConfig, []byte("{}")), Layers: []ocispec.Descriptor{src.large},
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	mustCopy(t, client, proxy.Host()+"/app:v1", src, root)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Errorf("allocated %d MiB in all", used>>20)
	}
	if src.reads.Load() != 1 {
		t.Errorf("read the layer %d times", src.reads.Load())
	}
}

func FuzzLocate(f *testing.F) {
	for _, location := range []string{"/v2/a/blobs/uploads/1?_state=x", "https://r.example/u", "r.example/u", "", "http://%zz", "//x", "a:b"} {
		f.Add(location)
	}
	f.Fuzz(func(t *testing.T, location string) {
		to, err := registry.Locate(docker.RegistryHost{Scheme: "https", Host: "r.example"}, location)
		if err != nil {
			return
		}
		if to.Host == "" || to.Scheme == "" {
			t.Fatalf("%q leads to %q", location, to)
		}
		if strings.HasPrefix(location, "/") && !strings.HasPrefix(location, "//") && to.Host != "r.example" {
			t.Fatalf("%q leads to %q", location, to.Host)
		}
	})
}
