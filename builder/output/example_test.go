package output_test

import (
	"context"
	"fmt"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/output"
)

func ExampleParse() {
	spec, err := output.Parse("type=oci,dest=app.tar,name=ghcr.io/me/app:1.2")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(spec.Type, spec.Dest, spec.Names)

	_, err = output.Parse("type=local")
	fmt.Println(err)
	// Output:
	// oci app.tar [ghcr.io/me/app:1.2]
	// invalid output "type=local": type=local writes a directory: add dest=DIR
}

func ExampleLayout() {
	dir, err := os.MkdirTemp("", "layout")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	layout, err := output.OpenLayout(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	body := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
	desc := blob(body)
	desc.MediaType = ocispec.MediaTypeImageIndex
	if err := layout.Write(ctx, desc, body); err != nil {
		fmt.Println(err)
		return
	}
	if err := layout.Add(desc, "me/app:1.2", "me/app"); err != nil {
		fmt.Println(err)
		return
	}
	entry, err := layout.Find(ctx, desc.Digest.Encoded()[:12])
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(entry.Name)

	_, err = layout.Find(ctx, "me/other")
	fmt.Println(err)
	// Output:
	// docker.io/me/app:1.2
	// no such image: me/other
}
