package shard_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
	"github.com/mabuild/mabuild/builder/shard"
)

func Example() {
	server := httptest.NewServer(registrytest.Memory())
	defer server.Close()
	var clock registrytest.Clock // a minute of waiting takes no time
	ticks := registry.Clock{Now: clock.Now, Sleep: clock.Sleep}
	client := registry.New(registry.Options{Clock: ticks})
	defer client.CloseIdleConnections()
	repository := strings.TrimPrefix(server.URL, "http://") + "/app"

	// One job of the matrix after the other; in a CI they run at the same time.
	for _, platform := range []ocispec.Platform{amd64, arm64} {
		image := buildImage(platform, "1", false)
		desc := image.descs[0]
		if err := client.Copy(context.Background(), repository+"@"+desc.Digest.String(), &image, desc); err != nil {
			log.Fatal(err)
		}
		meeting, err := shard.New(shard.Options{
			Registry:  client,
			Names:     []string{repository + ":1.2"},
			Run:       "1658821493",
			Plan:      shard.Plan{"the Dockerfile": "FROM scratch"},
			Platforms: []ocispec.Platform{amd64, arm64},
			Clock:     ticks,
		})
		if err != nil {
			log.Fatal(err)
		}
		publisher := shard.Publisher{Meeting: meeting}
		root, err := publisher.Publish(context.Background(), image.descs)
		if err != nil {
			log.Fatal(err)
		}
		if publisher.Missing != nil {
			fmt.Println(platforms.Format(platform), "waits for", platforms.Format(publisher.Missing.Platforms[0]))
			continue
		}
		fmt.Println(platforms.Format(platform), "made", root.MediaType)
	}
	// Output:
	// linux/amd64 waits for linux/arm64
	// linux/arm64 made application/vnd.oci.image.index.v1+json
}
