package bases_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/bases"
	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

const dockerConfig = "application/vnd.docker.container.image.v1+json"

// content is images in memory, on their way to a registry.
type content map[digest.Digest][]byte

func (c content) Open(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(c[desc.Digest]))), nil
}

func (c content) add(mediaType string, body any) ocispec.Descriptor {
	text, ok := body.(string)
	if !ok {
		encoded, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		text = string(encoded)
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(text), Size: int64(len(text))}
	c[desc.Digest] = []byte(text)
	return desc
}

// manifest adds an image manifest with the config.
func (c content) manifest(mediaType string, config ocispec.Descriptor) ocispec.Descriptor {
	return c.add(mediaType, map[string]any{
		"schemaVersion": 2, "mediaType": mediaType, "config": config, "layers": []ocispec.Descriptor{},
	})
}

// image adds an OCI image for a platform, without saying so in the descriptor.
func (c content) image(platform string) ocispec.Descriptor {
	return c.manifest(ocispec.MediaTypeImageManifest, c.add(ocispec.MediaTypeImageConfig, parsed(platform)))
}

// index adds an index of some type.
func (c content) index(mediaType string, manifests ...ocispec.Descriptor) ocispec.Descriptor {
	return c.add(mediaType, map[string]any{"schemaVersion": 2, "mediaType": mediaType, "manifests": manifests})
}

// multi adds an OCI index with an image per platform.
func (c content) multi(specs ...string) ocispec.Descriptor {
	var list []ocispec.Descriptor
	for _, spec := range specs {
		list = append(list, as(spec, c.image(spec)))
	}
	return c.index(ocispec.MediaTypeImageIndex, list...)
}

// parsed reads OS/ARCH[/VARIANT] without normalising it.
func parsed(spec string) *ocispec.Platform {
	parts := append(strings.Split(spec, "/"), "", "")
	return &ocispec.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
}

func as(spec string, desc ocispec.Descriptor) ocispec.Descriptor {
	desc.Platform = parsed(spec)
	return desc
}

// world is a registry with a log of requests, a cache folder and a clock.
type world struct {
	content
	t      *testing.T
	proxy  *registrytest.Proxy
	client *registry.Client
	dir    string

	mu  sync.Mutex
	now time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		content: content{}, t: t, dir: filepath.Join(t.TempDir(), "bases"), now: time.Now(),
		proxy:  registrytest.New(t, registrytest.Memory()),
		client: registry.New(registry.Options{ConfigDir: t.TempDir()}),
	}
	t.Cleanup(w.client.CloseIdleConnections)
	return w
}

func (w *world) ref(name string) string { return w.proxy.Host() + "/" + name }

// push stores an image under a name, forgets the requests and returns the reference.
func (w *world) push(name string, desc ocispec.Descriptor) string {
	w.t.Helper()
	if err := w.client.Copy(w.t.Context(), w.ref(name), w, desc); err != nil {
		w.t.Fatal(err)
	}
	w.proxy.Reset()
	return w.ref(name)
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// resolver returns a new one, as another process would have.
func (w *world) resolver(opts bases.Options) *bases.Resolver {
	if opts.Registry == nil {
		opts.Registry = w.client
	}
	if opts.Dir == "" {
		opts.Dir = w.dir
	}
	return bases.New(opts.WithClock(w.clock))
}

func (w *world) resolve(r *bases.Resolver, ref string) *bases.Base {
	w.t.Helper()
	base, err := r.Resolve(w.t.Context(), ref)
	if err != nil {
		w.t.Fatal(err)
	}
	return base
}

// requests checks how many requests the registry got: for tags, for manifests by
// digest, for blobs.
func (w *world) requests(heads, manifests, blobs int) {
	w.t.Helper()
	got := [...]int{
		w.proxy.Count("HEAD", "/manifests/"),
		w.proxy.Count("GET", "/manifests/"),
		w.proxy.Count("GET", "/blobs/"),
	}
	if want := [...]int{heads, manifests, blobs}; got != want {
		w.t.Errorf("HEAD manifest, GET manifest, GET blob: %v requests, want %v: %v", got, want, w.proxy.Requests())
	}
}

// files returns the paths in a part of the cache.
func (w *world) files(part string) []string {
	w.t.Helper()
	var list []string
	err := filepath.WalkDir(filepath.Join(w.dir, part), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func (w *world) blob(dgst digest.Digest) string {
	return filepath.Join(w.dir, "blobs", dgst.Algorithm().String(), dgst.Encoded())
}

func (w *world) write(path, text string) {
	w.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// offered lists what a base offers: PLATFORM, with the OS version if there is one.
func offered(base *bases.Base) []string {
	var list []string
	for _, desc := range base.Manifests {
		text := platforms.Format(*desc.Platform)
		if version := desc.Platform.OSVersion; version != "" {
			text += fmt.Sprintf("(%s)", version)
		}
		list = append(list, text)
	}
	return list
}

// attestation adds what BuildKit puts beside an image.
func (c content) attestation(of ocispec.Descriptor) ocispec.Descriptor {
	desc := as("unknown/unknown", c.manifest(ocispec.MediaTypeImageManifest,
		c.add(ocispec.MediaTypeImageConfig, `{"architecture":"unknown","os":"unknown","of":"`+of.Digest.String()+`"}`)))
	desc.Annotations = map[string]string{
		"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": of.Digest.String(),
	}
	return desc
}

// dockerImage adds an image of Docker's types.
func (c content) dockerImage(platform string) ocispec.Descriptor {
	return c.manifest(index.MediaTypeDockerManifest, c.add(dockerConfig, parsed(platform)))
}
