package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

// mapProvider is content in memory.
type mapProvider map[digest.Digest]string

func (p mapProvider) Open(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(p[desc.Digest])), nil
}

func (p mapProvider) add(mediaType, text string) ocispec.Descriptor {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(text), Size: int64(len(text))}
	p[desc.Digest] = text
	return desc
}

func ExampleClient_Copy() {
	server := httptest.NewServer(registrytest.Memory())
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")

	content := mapProvider{}
	config := content.add(ocispec.MediaTypeImageConfig, `{"os":"linux","architecture":"amd64"}`)
	layer := content.add(ocispec.MediaTypeImageLayer, "the layer")
	manifest := content.add(ocispec.MediaTypeImageManifest, fmt.Sprintf(
		`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		ocispec.MediaTypeImageManifest, config.MediaType, config.Digest, config.Size, layer.MediaType, layer.Digest, layer.Size))

	ctx := context.Background()
	client := registry.New(registry.Options{})
	defer client.CloseIdleConnections()
	if err := client.Copy(ctx, host+"/team/app:v1", content, manifest); err != nil {
		fmt.Println(err)
		return
	}
	desc, err := client.Resolve(ctx, host+"/team/app:v1")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(desc.MediaType, desc.Digest == manifest.Digest)
	body, err := client.Fetch(ctx, host+"/team/app", layer)
	fmt.Println(string(body), err)
	// Output:
	// application/vnd.oci.image.manifest.v1+json true
	// the layer <nil>
}

func ExampleError() {
	server := httptest.NewServer(registrytest.Basic("user", "secret", registrytest.Memory()))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	show := func(text string) { fmt.Println(strings.ReplaceAll(text, host, "registry.example")) }

	client := registry.New(registry.Options{ConfigDir: "testdata/nobody"})
	defer client.CloseIdleConnections()
	_, err := client.Resolve(context.Background(), host+"/team/app:v1")
	var described *registry.Error
	if errors.As(err, &described) {
		show(err.Error())
		show(described.Hint)
		fmt.Println(described.Status, described.Transient())
	}
	// Output:
	// resolving registry.example/team/app:v1: 401 Unauthorized
	// run `docker login registry.example`
	// 401 false
}

func ExampleClient_PushManifest() {
	server := httptest.NewServer(registrytest.Memory())
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")

	// An index without images, to keep this short.
	body := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
	desc := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageIndex,
		Digest:    digest.FromBytes(body),
		Size:      int64(len(body)),
	}
	ctx := context.Background()
	client := registry.New(registry.Options{})
	defer client.CloseIdleConnections()
	for _, tag := range []string{"v1", "latest", "latest"} {
		if err := client.PushManifest(ctx, host+"/team/app:"+tag, desc, body); err != nil {
			fmt.Println(err)
			return
		}
	}
	got, err := client.Fetch(ctx, host+"/team/app", desc)
	fmt.Println(bytes.Equal(got, body), err)
	// Output:
	// true <nil>
}
