package join_test

import (
	"context"
	"fmt"
	"log"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/join"
)

func ExampleNew() {
	images := newStore() // a repository of a registry, or an image store
	var sources []join.Source
	for _, arch := range []string{"amd64", "arm64"} {
		platform := ocispec.Platform{OS: "linux", Architecture: arch}
		root, err := images.build(platform, "", ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayer)
		if err != nil {
			log.Fatal(err)
		}
		sources = append(sources, join.Source{Name: "app:" + arch, Root: root, Content: images})
	}

	plan, err := join.New(context.Background(), sources, join.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, image := range plan.Images {
		fmt.Println(image.Platform(), "from", image.Source)
	}
	// Output:
	// linux/amd64 from app:amd64
	// linux/arm64 from app:arm64
}
