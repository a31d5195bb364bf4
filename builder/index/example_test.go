package index_test

import (
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
)

func ExampleJoin() {
	manifest := func(arch string) ocispec.Descriptor {
		return ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest,
			Digest:    digest.FromString("the manifest for " + arch),
			Size:      1024,
			Platform:  &ocispec.Platform{OS: "linux", Architecture: arch},
		}
	}
	desc, _, err := index.Join([]ocispec.Descriptor{manifest("amd64"), manifest("arm64")}, index.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(desc.MediaType)
	fmt.Println(desc.Digest)

	_, _, err = index.Join([]ocispec.Descriptor{manifest("amd64"), {
		MediaType: ocispec.MediaTypeImageManifest,
		Digest:    digest.FromString("an older manifest for amd64"),
		Size:      1024,
		Platform:  &ocispec.Platform{OS: "linux", Architecture: "amd64"},
	}}, index.Options{})
	fmt.Println(err != nil)
	// Output:
	// application/vnd.oci.image.index.v1+json
	// sha256:bcbfedd12fdd418e415cc80b07b91bb99aee5cc121c6be4fa970c8c7d374b17e
	// true
}

func ExampleFlatten() {
	image := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest,
		Digest:    digest.FromString("image"),
		Size:      512,
		Platform:  &ocispec.Platform{OS: "linux", Architecture: "arm64"},
	}
	provenance := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest,
		Digest:    digest.FromString("provenance"),
		Size:      840,
		Annotations: map[string]string{
			"vnd.docker.reference.type":   "attestation-manifest",
			"vnd.docker.reference.digest": image.Digest.String(),
		},
	}
	// A node that makes attestations answers with an index like this one.
	_, body, err := index.Join([]ocispec.Descriptor{image, provenance}, index.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	manifests, err := index.Flatten(body)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, desc := range manifests {
		_, isAttestation := index.Subject(desc)
		fmt.Println(desc.Platform.OS, desc.Platform.Architecture, isAttestation)
	}
	// Output:
	// linux arm64 false
	// unknown unknown true
}
