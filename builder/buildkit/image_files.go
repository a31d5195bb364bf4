package buildkit

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ReadImage pulls an image's files for a platform and hands read a function that reads
// one of them, by its path from the root; fs.ErrNotExist says that it is not there.
// Errors are [*Error], those of read, or the cause of ctx.
func (n *Node) ReadImage(ctx context.Context, image string, platform ocispec.Platform, read func(file func(name string) ([]byte, error)) error) error {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return fmt.Errorf("reading the image %q: %w", image, err)
	}
	request, err := ContainerOptions{}.solveOpt()
	if err != nil {
		return err
	}
	state := llb.Image(reference.TagNameOnly(named).String(), llb.Platform(platform), llb.WithCustomName("image "+image))
	var ours error
	_, err = n.client.Build(ctx, request, "mabuild", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		files, err := solveRef(ctx, c, state)
		if err != nil {
			return nil, err
		}
		ours = read(func(name string) ([]byte, error) {
			text, err := files.ReadFile(ctx, gateway.ReadRequest{Filename: "/" + name})
			if err != nil && strings.Contains(err.Error(), noSuchFile) {
				err = fmt.Errorf("%s: %w", name, fs.ErrNotExist)
			}
			return text, err
		})
		return gateway.NewResult(), nil
	}, nil)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	if err != nil {
		return explainRun(err, platform)
	}
	return ours
}
