package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

func TestCopy(t *testing.T) {
	for name, backend := range backends(t) {
		t.Run(name, func(t *testing.T) {
			proxy := registrytest.New(t, backend)
			client, _ := newClient(t, registry.Options{UserAgent: "mabuild/test"})
			src := newStore()
			root := src.twoPlatforms(t, 1)
			ref := proxy.Host() + "/team/app:v1"
			mustCopy(t, client, ref, src, root)
			checkTag(t, client, ref, root)

			requests := proxy.Requests()
			for i, req := range requests {
				if req.Method == http.MethodPut && strings.HasSuffix(req.Path, "/manifests/v1") {
					for _, later := range requests[i+1:] {
						if later.Method != http.MethodGet && later.Method != http.MethodHead {
							t.Errorf("%s %s came after the tag was written", later.Method, later.Path)
						}
					}
				}
				if req.UserAgent != "mabuild/test" {
					t.Fatalf("%s %s was sent by %q", req.Method, req.Path, req.UserAgent)
				}
			}
			// Case 55: one tagged PUT, and none of a child under the tag.
			if n := proxy.Count("PUT", "/manifests/v1$"); n != 1 {
				t.Errorf("the tag was written %d times", n)
			}
			if n := proxy.Count("PUT", "/manifests/"); n != 3 {
				t.Errorf("%d manifests were written, want 3", n)
			}

			// Once more: nothing is sent again.
			proxy.Reset()
			mustCopy(t, client, ref, src, root)
			for _, method := range []string{"PUT", "POST", "PATCH"} {
				if n := proxy.Count(method, ""); n != 0 {
					t.Errorf("the second time made %d %s requests", n, method)
				}
			}
		})
	}
}

func TestCopyByDigestLeavesTagsAlone(t *testing.T) {
	proxy := registrytest.New(t, registrytest.Distribution(t))
	client, _ := newClient(t, registry.Options{})
	src := newStore()
	root := src.twoPlatforms(t, 1)
	ref := proxy.Host() + "/team/app@" + root.Digest.String()
	mustCopy(t, client, ref, src, root)
	checkTag(t, client, ref, root)
	if _, err := client.Resolve(t.Context(), proxy.Host()+"/team/app:latest"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("got %v for a tag that nobody wrote", err)
	}
	if n := proxy.Count("PUT", "/manifests/[^:]*$"); n != 0 {
		t.Errorf("%d tags were written", n)
	}
}

// Case 64: children in another repository, or another registry, are copied.
func TestCopyBetweenRepositories(t *testing.T) {
	for name, backend := range backends(t) {
		t.Run(name, func(t *testing.T) {
			proxy := registrytest.New(t, backend)
			other := registrytest.New(t, registrytest.Memory())
			client, _ := newClient(t, registry.Options{})
			src := newStore()
			amd64, arm64 := src.image(t, "amd64", 1, 2000), src.image(t, "arm64", 2, 2000)
			mustCopy(t, client, proxy.Host()+"/x-amd64:1", src, amd64)
			mustCopy(t, client, other.Host()+"/y-arm64:1", src, arm64)
			root := src.index(t, amd64, arm64)

			ref := proxy.Host() + "/all:1"
			// An index whose children aren't there says which one is missing.
			err := client.PushManifest(t.Context(), ref, root, src.body(root))
			wantError(t, err, amd64.Digest.String(), "into the same repository")

			for origin, child := range map[string]ocispec.Descriptor{
				proxy.Host() + "/x-amd64": amd64, other.Host() + "/y-arm64": arm64,
			} {
				from, err := client.Source(origin)
				if err != nil {
					t.Fatal(err)
				}
				mustCopy(t, client, proxy.Host()+"/all@"+child.Digest.String(), from, child)
			}
			if err := client.PushManifest(t.Context(), ref, root, src.body(root)); err != nil {
				t.Fatal(err)
			}
			checkTag(t, client, ref, root)
			mounts := 0
			for _, req := range proxy.Requests() {
				if strings.Contains(req.Query, "mount=") && strings.Contains(req.Query, "from=x-amd64") {
					mounts++
				}
			}
			if name == "distribution" && mounts != 2 { // config and layer; the other one shares blobs anyway
				t.Errorf("tried to mount %d blobs, want 2", mounts)
			}
		})
	}
}

// Case 79: a mount that the registry doesn't allow is an upload.
func TestCopyWithoutMounting(t *testing.T) {
	tokens := &registrytest.Tokens{Allow: func(_, repository, action string) bool {
		return repository == "target" || action == "pull" && repository != "secret"
	}}
	proxy := registrytest.New(t, tokens.Protect(registrytest.Memory()))
	open := registrytest.New(t, registrytest.Memory())
	client, _ := newClient(t, registry.Options{})
	src := newStore()
	image := src.image(t, "amd64", 1, 2000)
	mustCopy(t, client, open.Host()+"/secret:1", src, image)

	for _, status := range []int{0, 400, 403, 405} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			proxy.Reset()
			if status != 0 {
				proxy.Add(registrytest.Rule{
					Method: "POST", Path: registrytest.Uploads, Fault: registrytest.Refuse(status, "DENIED", "no mounting"),
					When: func(r *http.Request) bool { return r.URL.Query().Has("mount") },
				})
			}
			// The content is on the other server, which a Source of the same
			// registry stands for here.
			from := mountingSource{store: src}
			ref := fmt.Sprintf("%s/target:%d", proxy.Host(), status)
			if err := client.CopyMounting(t.Context(), ref, from, image, "secret"); err != nil {
				t.Fatal(err)
			}
			checkTag(t, client, ref, image)
		})
	}
}

type mountingSource struct{ *store }

// Case 70: layers that live elsewhere are neither read nor sent.
func TestCopyLeavesOutForeignLayers(t *testing.T) {
	proxy := registrytest.New(t, registrytest.Memory())
	client, _ := newClient(t, registry.Options{})
	src := newStore()
	foreign := ocispec.Descriptor{
		MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
		Digest:    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		Size:      12345,
		URLs:      []string{"https://mcr.example/layer"},
	}
	const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	root := src.addJSON(t, dockerManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: dockerManifest,
		Config:    src.add("application/vnd.docker.container.image.v1+json", []byte("{}")),
		Layers:    []ocispec.Descriptor{foreign, src.add("application/vnd.docker.image.rootfs.diff.tar.gzip", []byte("own"))},
	})
	mustCopy(t, client, proxy.Host()+"/windows:1", src, root)
	if src.opened[foreign.Digest] != 0 || proxy.Count("", foreign.Digest.Encoded()) != 0 {
		t.Error("the foreign layer was touched")
	}

	// Distribution answers 500 unless it is told which URLs are fine. That must
	// not be repeated for long, and be explained.
	strict := registrytest.New(t, registrytest.Distribution(t))
	err := client.Copy(t.Context(), strict.Host()+"/windows:1", src, root)
	wantError(t, err, "pushing", "validation.manifests.urls.allow")
	if n := strict.Count("PUT", "/manifests/"); n > 2 {
		t.Errorf("the manifest was sent %d times", n)
	}
}

// Case 89: a second registry that fails leaves no tag behind in either if
// content goes first.
func TestCopyToTwoRegistries(t *testing.T) {
	good, bad := registrytest.New(t, registrytest.Memory()), registrytest.New(t, registrytest.Memory())
	bad.Add(registrytest.Rule{Method: "PUT", Path: registrytest.Manifests, Fault: registrytest.Status(500, "")})
	client, _ := newClient(t, registry.Options{})
	src := newStore()
	root := src.twoPlatforms(t, 1)

	publish := func() error {
		for _, proxy := range []*registrytest.Proxy{good, bad} {
			if err := client.Copy(t.Context(), proxy.Host()+"/app@"+root.Digest.String(), src, root); err != nil {
				return err
			}
		}
		for _, proxy := range []*registrytest.Proxy{good, bad} {
			if err := client.PushManifest(t.Context(), proxy.Host()+"/app:v1", root, src.body(root)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := publish(); err == nil || !strings.Contains(err.Error(), bad.Host()) {
		t.Fatalf("got error %v, want one that names %s", err, bad.Host())
	}
	if _, err := client.Resolve(t.Context(), good.Host()+"/app:v1"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the good registry has a tag: %v", err)
	}
	bad.Reset()
	good.Reset()
	if err := publish(); err != nil {
		t.Fatal(err)
	}
	checkTag(t, client, good.Host()+"/app:v1", root)
	checkTag(t, client, bad.Host()+"/app:v1", root)
	if n := good.Count("POST", ""); n != 0 {
		t.Errorf("the second run uploaded %d blobs to the good registry again", n)
	}
}

// The first failure is reported, not that something else was cancelled for it,
// also by an image that waits for a blob which another one uploads.
func TestCopyReportsTheFirstFailure(t *testing.T) {
	src := newStore()
	shared := src.image(t, "amd64", 1, 1000)
	layer := src.layers(t, shared)[0]
	var images []ocispec.Descriptor
	for i := range 4 {
		images = append(images, src.addJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			Config: src.add(ocispec.MediaTypeImageConfig, fmt.Appendf(nil, "{%q:%d}", "n", i)),
			Layers: []ocispec.Descriptor{layer},
		}))
	}
	root := src.index(t, images...)
	for range 20 {
		proxy := registrytest.New(t, registrytest.Memory())
		proxy.Add(registrytest.Rule{
			Method: "PUT", Path: registrytest.Uploads, Fault: registrytest.Refuse(403, "DENIED", "no"),
			When: func(r *http.Request) bool { return r.ContentLength < 100 },
		}, registrytest.Rule{
			Method: "PUT", Path: registrytest.Uploads, Fault: registrytest.Silence(),
		})
		client, _ := newClient(t, registry.Options{})
		wantError(t, client.Copy(t.Context(), proxy.Host()+"/app:v1", src, root), "403 Forbidden: DENIED: no", "")
	}
}

// gone is a daemon that has forgotten what it was to keep.
type gone struct{ *store }

func (gone) Open(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	return nil, fmt.Errorf("content %s: %w", desc.Digest, errdefs.ErrNotFound)
}

func TestCopyOfWhatIsGone(t *testing.T) {
	client, _ := newClient(t, registry.Options{})
	proxy := registrytest.New(t, registrytest.Memory())
	src := newStore()
	err := client.Copy(t.Context(), proxy.Host()+"/app:v1", gone{src}, src.twoPlatforms(t, 1))
	wantError(t, err, "not found", "build again")
}

func TestCopyEndsWithItsContext(t *testing.T) {
	interrupted := errors.New("interrupted")
	proxy := registrytest.New(t, registrytest.Memory())
	ctx, cancel := context.WithCancelCause(t.Context())
	proxy.Add(registrytest.Rule{Method: "PUT", Path: registrytest.Uploads, Fault: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		cancel(interrupted)
		registrytest.Silence()(w, r, next)
	}})
	client, _ := newClient(t, registry.Options{})
	src := newStore()
	err := client.Copy(ctx, proxy.Host()+"/app:v1", src, src.twoPlatforms(t, 1))
	if !errors.Is(err, interrupted) {
		t.Errorf("got %v", err)
	}
}
