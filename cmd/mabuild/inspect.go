package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/registry"
)

func newInspectCommand() *cobra.Command {
	var raw, asJSON bool
	var source, engineConfig, format, platform string
	cmd := &cobra.Command{
		Use:   "inspect [flags] IMAGE",
		Short: "Show an image's platforms, digests and sizes",
		Long: `Show what a name leads to: its media type and one line for each platform. It reads
OCI indexes, Docker manifest lists and plain manifests, from the image store if
the name is there and from the registry otherwise.

--format is a template as in docker buildx imagetools inspect. It sees .Name,
.Manifest (the index, or a lone manifest's descriptor), .Image (the configuration),
.Provenance.SLSA and .SBOM.SPDX (attestations, if there are any), and can call json.
For several platforms, .Image, .Provenance and .SBOM are maps by platform, unless
--platform chooses one.`,
		Example: `  mabuild inspect --format '{{json .Manifest.Digest}}' ghcr.io/me/app:1.2
  mabuild inspect --format '{{json (index .Provenance "linux/arm64").SLSA}}' ghcr.io/me/app:1.2
  mabuild inspect --platform linux/arm64 --format '{{range .SBOM.SPDX.packages}}{{.name}}{{println}}{{end}}' app`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			image, err := inspect(cmd.Context(), args[0], source, engineConfig)
			if err != nil {
				return err
			}
			defer image.close()
			switch {
			case raw:
				_, err = os.Stdout.Write(image.body)
			case format != "":
				err = image.format(cmd.Context(), os.Stdout, format, platform)
			case platform != "":
				err = usagef("--platform chooses what --format sees; add --format, or leave it away")
			case asJSON:
				err = printJSON(image)
			default:
				err = image.print(os.Stdout)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "print the manifest's bytes as they are")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&source, "source", "auto", "where to look: auto, store or registry")
	cmd.Flags().StringVar(&engineConfig, "engine-config", os.Getenv("MABUILD_ENGINE_CONFIG"), "`buildkitd.toml` with registry settings (or MABUILD_ENGINE_CONFIG)")
	cmd.Flags().StringVar(&format, "format", "", "fill this `TEMPLATE`, e.g. '{{json .Image}}'")
	cmd.Flags().StringVar(&platform, "platform", "", "let the template see this `PLATFORM` alone")
	cmd.MarkFlagsMutuallyExclusive("raw", "json", "format")
	return cmd
}

// inspected is what a name leads to.
type inspected struct {
	Name      string          `json:"name"`
	Source    string          `json:"source"`
	MediaType string          `json:"mediaType"`
	Digest    digest.Digest   `json:"digest"`
	Size      int64           `json:"size"`
	Platforms []inspectedItem `json:"platforms"`
	// Attestations are index entries that describe images and are none.
	Attestations []inspectedItem `json:"attestations,omitempty"`
	body         []byte
	fetch        fetcher
	release      func() error // lets the image store be pruned again
}

// close says that nothing is fetched any more.
func (i *inspected) close() {
	if i.release != nil {
		_ = i.release()
	}
}

type inspectedItem struct {
	Platform  string        `json:"platform,omitempty"`
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
}

// fetcher reads a manifest or config from where an image is.
type fetcher func(context.Context, ocispec.Descriptor) ([]byte, error)

func inspect(ctx context.Context, name, source, engineConfig string) (*inspected, error) {
	switch source {
	case "auto", "store":
		image, err := inspectInStore(ctx, name)
		if source == "store" || !errors.Is(err, output.ErrNotFound) {
			return image, err
		}
	case "registry":
	default:
		return nil, usagef("--source=%s is unknown; use auto, store or registry", source)
	}
	client, err := newRegistryClient(engineConfig)
	if err != nil {
		return nil, err
	}
	root, err := client.Resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	return inspectImage(ctx, name, "registry", root, func(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
		if desc.Size <= registry.MaxManifest {
			return client.Fetch(ctx, name, desc)
		}
		blob, err := client.Open(ctx, name, desc) // an SBOM can be large
		if err != nil {
			return nil, err
		}
		defer blob.Close()
		return io.ReadAll(blob)
	})
}

// inspectInStore looks for the image in the image store, which is in use until the image
// is closed.
func inspectInStore(ctx context.Context, name string) (*inspected, error) {
	store, release, err := useStore()
	if err != nil {
		return nil, err
	}
	var image *inspected
	entry, err := store.Find(ctx, name)
	if err == nil {
		image, err = inspectStored(ctx, store, entry)
	}
	if err != nil {
		_ = release()
		return nil, err
	}
	image.release = release
	return image, nil
}

func inspectStored(ctx context.Context, store *output.Layout, entry output.Entry) (*inspected, error) {
	name := entry.Name
	if name == "" {
		name = entry.Descriptor.Digest.String()
	}
	return inspectImage(ctx, name, "image store", entry.Descriptor, func(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
		return content.ReadBlob(ctx, store.Blobs(), desc)
	})
}

func inspectImage(ctx context.Context, name, source string, root ocispec.Descriptor, fetch fetcher) (*inspected, error) {
	body, err := fetch(ctx, root)
	if err != nil {
		return nil, err
	}
	image := &inspected{
		Name: name, Source: source, MediaType: root.MediaType, Digest: root.Digest, Size: root.Size, body: body, fetch: fetch,
	}
	if root.MediaType == ocispec.MediaTypeImageManifest || root.MediaType == index.MediaTypeDockerManifest {
		platform, err := configPlatform(ctx, body, fetch)
		if err != nil {
			return nil, err
		}
		image.Platforms = []inspectedItem{{Platform: platform, MediaType: root.MediaType, Digest: root.Digest, Size: root.Size}}
		return image, nil
	}
	parsed, err := index.Parse(root.MediaType, body)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	for _, m := range parsed.Manifests {
		item := inspectedItem{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size}
		if _, ok := index.Subject(m); ok {
			image.Attestations = append(image.Attestations, item)
			continue
		}
		if m.Platform != nil {
			item.Platform = platforms.FormatAll(*m.Platform)
		}
		image.Platforms = append(image.Platforms, item)
	}
	return image, nil
}

// configPlatform is the platform of a manifest without an index.
func configPlatform(ctx context.Context, manifest []byte, fetch fetcher) (string, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return "", fmt.Errorf("reading the manifest: %w", err)
	}
	body, err := fetch(ctx, m.Config)
	if err != nil {
		return "", err
	}
	var platform ocispec.Platform
	if err := json.Unmarshal(body, &platform); err != nil {
		return "", fmt.Errorf("reading the image's config: %w", err)
	}
	return platforms.FormatAll(platform), nil
}

func (i *inspected) platformList() string {
	var list []string
	for _, p := range i.Platforms {
		list = append(list, p.Platform)
	}
	return strings.Join(list, ",")
}

func (i *inspected) print(w io.Writer) error {
	head := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(head, "Name:\t%s\n", i.Name)
	fmt.Fprintf(head, "Source:\t%s\n", i.Source)
	fmt.Fprintf(head, "MediaType:\t%s\n", i.MediaType)
	fmt.Fprintf(head, "Digest:\t%s\n", i.Digest)
	if err := head.Flush(); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "\nPLATFORM\tDIGEST\tSIZE")
	for _, p := range i.Platforms {
		fmt.Fprintf(table, "%s\t%s\t%d\n", p.Platform, p.Digest, p.Size)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if n := len(i.Attestations); n > 0 {
		fmt.Fprintf(w, "\n%d attestations (see --json)\n", n)
	}
	return nil
}
