package verify_test

import (
	"context"
	"fmt"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/verify"
)

func ExampleIndex() {
	archive, err := verify.OpenArchive("image.tar")
	if err != nil {
		fmt.Println("there is no image.tar")
		return
	}
	defer archive.Close()
	for _, image := range archive.Images {
		reports, err := verify.Index(context.Background(), archive, image, verify.Options{})
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := verify.Text(os.Stdout, reports...); err != nil {
			fmt.Println(err)
		}
	}
	// Output: there is no image.tar
}

func ExampleOptions() {
	// A plan knows which steps were assisted, and which paths were copied from a
	// pinned stage.
	opts := verify.Options{
		Ignore:        []string{"opt/vendor/**"},
		Strict:        []string{"usr/local/bin/server"},
		BuildPlatform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		Assisted: func(_ ocispec.Platform, l verify.Layer) bool {
			return l.CreatedBy == "RUN /bin/sh -c go build -o /usr/local/bin/server # buildkit"
		},
	}
	fmt.Println(opts.Assisted(ocispec.Platform{}, verify.Layer{CreatedBy: "WORKDIR /src"}))
	// Output: false
}
