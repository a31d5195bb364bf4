package bases_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/bases"
	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

func ExampleResolver_Resolve() {
	server := httptest.NewServer(registrytest.Memory())
	defer server.Close()
	dir, err := os.MkdirTemp("", "bases")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	client := registry.New(registry.Options{})
	defer client.CloseIdleConnections()

	ctx, images := context.Background(), content{}
	ref := strings.TrimPrefix(server.URL, "http://") + "/golang:1.26"
	if err := client.Copy(ctx, ref, images, images.multi("linux/amd64", "linux/arm/v7")); err != nil {
		fmt.Println(err)
		return
	}
	resolver := bases.New(bases.Options{Registry: client, Dir: dir})
	base, err := resolver.Resolve(ctx, ref)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(base.MediaType)
	for _, manifest := range base.Manifests {
		body, err := resolver.Config(ctx, ref, manifest)
		if err != nil {
			fmt.Println(err)
			return
		}
		var config ocispec.Image
		err = json.Unmarshal(body, &config)
		fmt.Println(platforms.Format(*manifest.Platform), config.Architecture, err)
	}
	// Output:
	// application/vnd.oci.image.index.v1+json
	// linux/amd64 amd64 <nil>
	// linux/arm/v7 arm <nil>
}

func ExampleError() {
	dir, err := os.MkdirTemp("", "bases")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	_, err = bases.New(bases.Options{Dir: dir, Offline: true}).Resolve(context.Background(), "alpine:3")
	fmt.Println(err)
	fmt.Println(errors.Is(err, bases.ErrOffline))
	// Output:
	// looking up base image docker.io/library/alpine:3: not in the cache, and no registry is asked while offline; run it once without --offline
	// true
}
