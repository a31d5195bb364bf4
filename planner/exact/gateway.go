package exact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// gateway is what a frontend sees of the builder, with no builder behind it: it
// looks up images and reads small local files. It serves one platform, since
// the frontend's client keeps state in the options that it gets.
type gateway struct {
	options    map[string]string
	session    string
	build      ocispec.Platform
	images     *images
	dirs       map[string]string // locals by name
	dockerfile file
	remote     Remote // nil if there is none
}

type file struct {
	name string
	text []byte
}

var (
	_ gwclient.Client       = (*gateway)(nil)
	_ llb.ImageMetaResolver = (*gateway)(nil)
)

func (g *gateway) BuildOpts() gwclient.BuildOpts {
	return gwclient.BuildOpts{
		Opts: g.options, SessionID: g.session,
		Workers: []gwclient.WorkerInfo{{ID: "plan", Platforms: []ocispec.Platform{g.build}}},
		LLBCaps: pb.Caps.CapSet(pb.Caps.All()),
		Caps:    gwpb.Caps.CapSet(gwpb.Caps.All()),
	}
}

func (g *gateway) Inputs(context.Context) (map[string]llb.State, error) {
	return map[string]llb.State{}, nil
}

func (g *gateway) NewContainer(context.Context, gwclient.NewContainerRequest) (gwclient.Container, error) {
	return nil, errors.New("containers need a builder")
}

func (g *gateway) Warn(context.Context, digest.Digest, string, gwclient.WarnOpts) error { return nil }

// ResolveImageConfig returns the configuration of an image, or one that stands
// in for it: what is wrong is reported once all images are known.
func (g *gateway) ResolveImageConfig(
	ctx context.Context, ref string, opt sourceresolver.Opt,
) (string, digest.Digest, []byte, error) {
	platform, store := g.build, ""
	switch {
	case opt.ImageOpt != nil && opt.ImageOpt.Platform != nil:
		platform = *opt.ImageOpt.Platform
	case opt.OCILayoutOpt != nil:
		store = opt.OCILayoutOpt.Store.StoreID
		if opt.OCILayoutOpt.Platform != nil {
			platform = *opt.OCILayoutOpt.Platform
		}
	}
	img, err := g.images.look(ctx, store, ref, platform)
	if err != nil {
		return "", "", nil, err
	}
	var root digest.Digest
	if img.base != nil {
		root = img.base.Digest
	}
	return ref, root, img.config, nil
}

func (g *gateway) ResolveSourceMetadata(
	ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt,
) (*sourceresolver.MetaResponse, error) {
	ref, ok := strings.CutPrefix(op.Identifier, "docker-image://")
	switch {
	case ok:
	case g.remote != nil && (isHTTP(op.Identifier) || strings.HasPrefix(op.Identifier, "git://")):
		return g.remote.Metadata(ctx, op, opt)
	default:
		return nil, fmt.Errorf("looking up %s needs a builder", redacted(op.Identifier))
	}
	_, root, config, err := g.ResolveImageConfig(ctx, ref, opt)
	if err != nil {
		return nil, err
	}
	return &sourceresolver.MetaResponse{Op: op, Image: &sourceresolver.ResolveImageResponse{Digest: root, Config: config}}, nil
}

// Solve gives access to local directories and to what servers have, which is all
// that a frontend solves before it has converted a Dockerfile.
func (g *gateway) Solve(_ context.Context, req gwclient.SolveRequest) (*gwclient.Result, error) {
	res := gwclient.NewResult()
	if req.Frontend != "" {
		return nil, fmt.Errorf("the frontend %s needs a builder", req.Frontend)
	}
	if req.Definition == nil {
		return res, nil
	}
	source, unpack, err := readSource(req.Definition)
	if err != nil {
		return nil, err
	}
	if local, ok := strings.CutPrefix(source.Identifier, "local://"); ok {
		ref := &directory{path: g.dirs[local]}
		if local == "dockerfile" {
			ref.extra = g.dockerfile
		}
		res.SetRef(ref)
		return res, nil
	}
	ref, err := g.solveRemote(source, unpack)
	if err != nil {
		return nil, err
	}
	res.SetRef(ref)
	return res, nil
}

// readSource finds the one source of a definition, and whether it is unpacked.
func readSource(def *pb.Definition) (source *pb.SourceOp, unpack bool, err error) {
	for _, dt := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			return nil, false, fmt.Errorf("reading an operation: %w", err)
		}
		if source == nil {
			source = op.GetSource()
		}
		for _, action := range op.GetFile().GetActions() {
			unpack = unpack || action.GetCopy().GetAttemptUnpackDockerCompatibility()
		}
	}
	if source == nil {
		return nil, false, errors.New("operations other than reading files need a builder")
	}
	return source, unpack, nil
}

// directory is a local source. An empty path is an empty directory.
type directory struct {
	path  string
	extra file // hides what is on disk
}

func (d *directory) ToState() (llb.State, error)    { return llb.Scratch(), nil }
func (d *directory) Evaluate(context.Context) error { return nil }

func (d *directory) open(name string) (io.ReadCloser, int64, error) {
	name = strings.TrimPrefix(path.Clean("/"+filepath.ToSlash(name)), "/")
	if d.extra.name != "" && name == d.extra.name {
		return io.NopCloser(bytes.NewReader(d.extra.text)), int64(len(d.extra.text)), nil
	}
	if d.path == "" {
		return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	opened, err := os.OpenInRoot(d.path, filepath.FromSlash(name))
	if err != nil {
		return nil, 0, err
	}
	info, err := opened.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	if err != nil {
		_ = opened.Close()
		return nil, 0, err
	}
	return opened, info.Size(), nil
}

func (d *directory) ReadFile(_ context.Context, req gwclient.ReadRequest) ([]byte, error) {
	opened, _, err := d.open(req.Filename)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	limited := io.Reader(opened)
	if req.Range != nil {
		if _, err := io.CopyN(io.Discard, opened, int64(req.Range.Offset)); err != nil {
			return nil, err
		}
		if req.Range.Length > 0 {
			limited = io.LimitReader(opened, int64(req.Range.Length))
		}
	}
	return io.ReadAll(limited)
}

func (d *directory) StatFile(_ context.Context, req gwclient.StatRequest) (*fstypes.Stat, error) {
	opened, size, err := d.open(req.Path)
	if err != nil {
		return nil, err
	}
	return &fstypes.Stat{Path: req.Path, Size: size}, opened.Close()
}

func (d *directory) ReadDir(context.Context, gwclient.ReadDirRequest) ([]*fstypes.Stat, error) {
	return nil, errors.New("listing a directory needs a builder")
}
