package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/verify"
	"github.com/mabuild/mabuild/planner"
)

// verifyFlags say how images are verified.
type verifyFlags struct {
	mode   string
	ignore []string
}

func (f *verifyFlags) addFlags(set *pflag.FlagSet, name string) {
	set.StringVar(&f.mode, name, "all", "check that programs in the images are made for their platforms: `all`, entrypoint (what the image starts) or off")
	set.StringArrayVar(&f.ignore, "verify-ignore", nil, "`GLOB` of paths that may hold programs for other platforms, e.g. opt/toolchains/**")
}

func (f *verifyFlags) options() (verify.Options, error) {
	mode, err := verify.ParseMode(f.mode)
	if err != nil {
		return verify.Options{}, &usageError{err}
	}
	options := verify.Options{Mode: mode, Ignore: f.ignore, Logger: logger()}
	if options.CacheDir, err = verify.DefaultCacheDir(); err != nil {
		options.Logger.Warn("what layers hold is not remembered", "error", err)
	}
	return options, nil
}

// verifyError is an image with programs that do not run on its platform.
type verifyError struct {
	reports []*verify.Report
	shown   bool // on the screen above
}

func (e *verifyError) Error() string {
	if e.shown {
		return "programs in the image do not run on its platform: see above"
	}
	var b strings.Builder
	b.WriteString("programs in the image do not run on its platform; nothing was tagged\n")
	_ = verify.Text(&b, e.reports...) // a Builder takes everything
	b.WriteString("Ignore paths by --verify-ignore, or all of it by --verify=off.")
	return b.String()
}

// verifyImages checks a job's images before they are published.
func (o *buildOptions) verifyImages(source verify.Source) func(context.Context, planner.Job, []ocispec.Descriptor) error {
	if source == nil || o.verify.Mode == verify.Off {
		return nil
	}
	return func(ctx context.Context, _ planner.Job, manifests []ocispec.Descriptor) error {
		options := o.verify
		if planned := o.planned; planned != nil {
			options.Strict = planned.Copied()
			options.Assisted = func(p ocispec.Platform, l verify.Layer) bool { return planned.Wrote(p, l.CreatedBy) }
			if build, err := platforms.Parse(planned.Plan.BuildPlatform); err == nil {
				options.BuildPlatform = build
			}
		}
		reports, err := verify.Images(ctx, source, manifests, options)
		if err != nil {
			return err
		}
		for _, report := range reports {
			if report.Failed() {
				return &verifyError{reports: reports}
			}
		}
		for _, report := range reports {
			if report.Count(verify.Warning) > 0 {
				if err := verify.Text(o.warnings(), report); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// pushedContent reads images that the daemon pushed. Their layers are in its cache;
// what it has forgotten comes from the registry.
type pushedContent struct {
	node *buildkit.Node
	inRegistry
}

func (p pushedContent) Open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	elsewhere := func() (io.ReadCloser, error) { return p.inRegistry.Open(ctx, desc) }
	blob, err := p.node.Open(ctx, desc)
	if errdefs.IsNotFound(err) {
		return elsewhere()
	}
	if err != nil {
		return nil, err
	}
	return &forgotten{ReadCloser: blob, elsewhere: elsewhere}, nil
}

// forgotten goes on elsewhere with content that is deleted while it is read, as a prune
// during the build does.
type forgotten struct {
	io.ReadCloser
	elsewhere func() (io.ReadCloser, error) // nil if it reads there
	read      int64
}

func (f *forgotten) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	f.read += int64(n)
	if f.elsewhere == nil || !errdefs.IsNotFound(err) {
		return n, err
	}
	blob, err := f.elsewhere()
	if err != nil {
		return n, err
	}
	f.elsewhere = nil
	err = f.Close()
	f.ReadCloser = blob
	if err == nil {
		if _, err = io.CopyN(io.Discard, blob, f.read); errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

func newVerifyCommand() *cobra.Command {
	var flags verifyFlags
	var engineConfig string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [flags] IMAGE",
		Short: "Check that the programs in an image are made for its platforms",
		Long: `Check every program and library of every platform of an image, and what ENTRYPOINT
and CMD start. IMAGE is a name in the image store or in a registry, or a file that
mabuild -o type=oci, buildx or docker save wrote. Nothing is unpacked or run.

The exit code is 1 if an image does not run on its platform.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := flags.options()
			if err != nil {
				return err
			}
			reports, err := verifyImage(cmd.Context(), args[0], engineConfig, options)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(reports)
			} else {
				err = verify.Text(os.Stdout, reports...)
			}
			for _, report := range reports {
				if err == nil && report.Failed() {
					err = &verifyError{shown: true}
				}
			}
			return err
		},
	}
	set := cmd.Flags()
	flags.addFlags(set, "mode")
	set.BoolVar(&asJSON, "json", false, "print JSON")
	set.StringVar(&engineConfig, "engine-config", os.Getenv("MABUILD_ENGINE_CONFIG"), "`buildkitd.toml` with registry settings (or MABUILD_ENGINE_CONFIG)")
	return cmd
}

// verifyImage looks for an image in a file, the image store and the registry.
func verifyImage(ctx context.Context, name, engineConfig string, options verify.Options) ([]*verify.Report, error) {
	if info, err := os.Stat(name); err == nil && !info.IsDir() {
		archive, err := verify.OpenArchive(name)
		if err != nil {
			return nil, err
		}
		defer archive.Close()
		var reports []*verify.Report
		for _, root := range archive.Images {
			found, err := verify.Index(ctx, archive, root, options)
			if err != nil {
				return nil, err
			}
			reports = append(reports, found...)
		}
		return reports, nil
	}
	reports, err := verifyStored(ctx, name, options)
	if !errors.Is(err, output.ErrNotFound) {
		return reports, err
	}
	client, err := newRegistryClient(engineConfig)
	if err != nil {
		return nil, err
	}
	root, err := client.Resolve(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("looking for %s, which is no file and not in the image store: %w", name, err)
	}
	return verify.Index(ctx, inRegistry{client, name}, root, options)
}

func verifyStored(ctx context.Context, name string, options verify.Options) ([]*verify.Report, error) {
	store, release, err := useStore()
	if err != nil {
		return nil, err
	}
	defer func() { _ = release() }()
	entry, err := store.Find(ctx, name)
	if err != nil {
		return nil, err
	}
	return verify.Index(ctx, store, entry.Descriptor, options)
}

// inRegistry is the content of one repository.
type inRegistry struct {
	client *registry.Client
	ref    string
}

func (r inRegistry) Open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	return r.client.Open(ctx, r.ref, desc)
}
