package docker_test

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/docker"
	"github.com/mabuild/mabuild/builder/output"
)

// engine is the part of Docker's API that loading uses, with a store of either kind.
// The real Engine is in the integration tests; its containerd store is not in Debian's.
type engine struct {
	version, arch, machine string
	containerd             bool
	answer                 string // to a load, instead of loading
	stop                   int64  // reads only so many bytes
	other                  string // what names lead to, instead of what was loaded

	mu     *sync.Mutex
	store  content.Store // of containerd
	images map[string]digest.Digest
	blobs  map[digest.Digest]bool
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch path := strings.TrimPrefix(r.URL.Path, "/v1.41"); {
	case r.URL.Path == "/_ping":
		w.Header().Set("Api-Version", "1.41")
	case path == "/version":
		fmt.Fprintf(w, `{"Version":%q,"Os":"linux","Arch":%q}`, e.version, e.arch)
	case path == "/info":
		driver := `[["Backing Filesystem","extfs"]]`
		if e.containerd {
			driver = `[["driver-type","io.containerd.snapshotter.v1"]]`
		}
		fmt.Fprintf(w, `{"Architecture":%q,"DriverStatus":%s}`, e.machine, driver)
	case path == "/images/load" && r.Method == http.MethodPost:
		e.load(w, r)
	case strings.HasPrefix(path, "/images/"):
		name := strings.TrimSuffix(strings.TrimPrefix(path, "/images/"), "/json")
		id, ok := e.images[name]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"message":"No such image: %s"}`, name)
			return
		}
		if e.other != "" {
			id = digest.Digest(e.other)
		}
		fmt.Fprintf(w, `{"Id":%q}`, id)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (e *engine) load(w http.ResponseWriter, r *http.Request) {
	if e.answer != "" {
		_, _ = io.CopyN(io.Discard, r.Body, e.stop)
		if strings.HasPrefix(e.answer, `{"message"`) {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, e.answer)
		return
	}
	var err error
	if e.containerd {
		err = e.loadLayout(r.Context(), r.Body)
	} else {
		err = e.loadSaved(r.Body)
	}
	if err != nil {
		fmt.Fprintf(w, `{"errorDetail":{"message":%q}}`, err)
		return
	}
	fmt.Fprint(w, `{"stream":"Loaded image\n"}`)
}

// loadLayout does it with containerd's importer, which is Docker's, too.
func (e *engine) loadLayout(ctx context.Context, body io.Reader) error {
	root, err := archive.ImportIndex(ctx, e.store, body)
	if err != nil {
		return err
	}
	text, err := content.ReadBlob(ctx, e.store, root)
	if err != nil {
		return err
	}
	var layout ocispec.Index
	if err := json.Unmarshal(text, &layout); err != nil {
		return err
	}
	for _, desc := range layout.Manifests {
		e.images[desc.Digest.String()] = desc.Digest
		if name := desc.Annotations["io.containerd.image.name"]; name != "" {
			e.images[name] = desc.Digest
		}
	}
	return e.store.Walk(ctx, func(info content.Info) error {
		e.blobs[info.Digest] = true
		return nil
	})
}

func (e *engine) loadSaved(body io.Reader) error {
	files := map[string][]byte{}
	for in := tar.NewReader(body); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if files[header.Name], err = io.ReadAll(in); err != nil {
			return err
		}
	}
	for name := range files {
		if hex, ok := strings.CutPrefix(name, "blobs/sha256/"); ok && hex != "" {
			e.blobs[digest.Digest("sha256:"+hex)] = true
		}
	}
	var saved []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(files["manifest.json"], &saved); err != nil {
		return err
	}
	for _, image := range saved {
		for _, layer := range image.Layers {
			if files[layer] == nil {
				return fmt.Errorf("the archive has no %s", layer)
			}
		}
		id := digest.FromBytes(files[image.Config])
		e.images[id.String()] = id
		for _, name := range image.RepoTags {
			e.images["docker.io/library/"+name] = id
		}
	}
	return nil
}

// serve starts the engine on a socket.
func (e *engine) serve(t *testing.T) *docker.Engine {
	t.Helper()
	connected, err := docker.Connect(t.Context(), docker.Endpoint{Host: listen(t, e), Origin: "the test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(connected.Close)
	return connected
}

// listen serves handler on a socket and returns its address.
func listen(t *testing.T, handler http.Handler) string {
	t.Helper()
	if e, ok := handler.(*engine); ok {
		store, err := local.NewStore(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		e.mu, e.store, e.images, e.blobs = &sync.Mutex{}, store, map[string]digest.Digest{}, map[digest.Digest]bool{}
	}
	dir, err := os.MkdirTemp("", "docker") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "d.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
		_ = os.RemoveAll(dir)
	})
	return "unix://" + socket
}

// layout is an image store in a temporary directory.
func layout(t *testing.T) *output.Layout {
	t.Helper()
	l, err := output.OpenLayout(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func write(t *testing.T, l *output.Layout, mediaType string, body []byte) ocispec.Descriptor {
	t.Helper()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	if err := l.Write(t.Context(), desc, body); err != nil {
		t.Fatal(err)
	}
	return desc
}

func writeJSON(t *testing.T, l *output.Layout, mediaType string, doc any) ocispec.Descriptor {
	t.Helper()
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, l, mediaType, body)
}

func image(t *testing.T, l *output.Layout, platform, layerType string) ocispec.Descriptor {
	t.Helper()
	parsed, err := platforms.Parse(platform)
	if err != nil {
		t.Fatal(err)
	}
	layer := write(t, l, layerType, []byte("layer of "+platform))
	desc := writeJSON(t, l, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: writeJSON(t, l, ocispec.MediaTypeImageConfig, ocispec.Image{Platform: parsed}),
		Layers: []ocispec.Descriptor{layer},
	})
	desc.Platform = &parsed
	return desc
}

// attested adds an image with an attestation.
func attested(t *testing.T, l *output.Layout, platform string) []ocispec.Descriptor {
	t.Helper()
	desc := image(t, l, platform, ocispec.MediaTypeImageLayer)
	attestation := writeJSON(t, l, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: writeJSON(t, l, ocispec.MediaTypeImageConfig, map[string]string{"os": "unknown"}),
		Layers: []ocispec.Descriptor{write(t, l, "application/vnd.in-toto+json", []byte(platform))},
	})
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	attestation.Annotations = map[string]string{
		"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": desc.Digest.String(),
	}
	return []ocispec.Descriptor{desc, attestation}
}

func writeIndex(t *testing.T, l *output.Layout, manifests ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	return writeJSON(t, l, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests,
	})
}
