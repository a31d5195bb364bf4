package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/distribution/reference"
	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/mabuild/mabuild/builder/join"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/planner"
)

// joinFlags are the command line of join.
type joinFlags struct {
	names        []string
	annotations  []string
	source       string
	engineConfig string
	metadataFile string
	dryRun       bool
	ofRun        bool     // what --shard built, not sources
	platforms    []string // of its image
	shards       shardFlags
}

func newJoinCommand() *cobra.Command {
	var flags joinFlags
	cmd := &cobra.Command{
		Use:   "join [flags] -t NAME [PLATFORM=]SOURCE…",
		Short: "Make one image index of images that were built apart",
		Long: `Make one index of images that were built apart: on several machines, by the jobs of
a CI matrix, by other tools. A SOURCE is an image or an index, in any registry or in
the image store, or a digest in the repository of the first -t. With PLATFORM=, such
as linux/arm64=app:new, only that platform is taken of it.

Indexes are flattened, and attestations come along with their images. What the
repositories of -t lack is copied, by mounting where the registry can; the names are
written last, when all registries have everything. Repeating it changes nothing.

With --shards it joins what the machines of mabuild build --shard have built, and fails if
one of them is missing. It need not be called: the last of them does it.

Refused are two different images for one platform, and images whose platform is not
what their index says. The digest of the index is printed on standard output.

Exit codes: 2 for sources and names that do not go together, 6 for a registry that
refuses or does not answer, 1 for an image that is not what it should be.`,
		Example: `  mabuild join -t ghcr.io/me/app:1.2 ghcr.io/me/app:amd64 ghcr.io/me/app:arm64
  mabuild join -t ghcr.io/me/app:1.2 -t docker.io/me/app:1.2 app sha256:4c3f…
  mabuild join -t app:1.3 linux/amd64,linux/s390x=app:1.2 linux/arm64=app:arm64-fixed
  mabuild join -t ghcr.io/me/app:1.2 --shards --platform linux/amd64,linux/arm64`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case flags.ofRun && len(args) > 0:
				return usagef("--shards finds what belongs together by the run; leave %s away", strings.Join(args, " "))
			case flags.ofRun:
				_, err := flags.joinShards(cmd.Context())
				return causeOf(cmd.Context(), err)
			case len(args) == 0:
				return usagef("there is nothing to join; name images, or give --shards")
			}
			err := flags.run(cmd.Context(), args)
			if errors.Is(err, join.ErrSources) {
				return &usageError{err}
			}
			return causeOf(cmd.Context(), err)
		},
	}
	set := cmd.Flags()
	set.StringArrayVarP(&flags.names, "tag", "t", nil, "`NAME` of the index, REGISTRY/NAME:TAG; may be given several times")
	set.StringArrayVar(&flags.annotations, "annotation", nil, "`KEY=VALUE` for the index, or manifest-descriptor[PLATFORM]:KEY=VALUE for an entry; may be given several times")
	set.StringVar(&flags.source, "source", "auto", "where to look for sources: auto, which tries the store first, store or registry")
	set.BoolVar(&flags.ofRun, "shards", false, "join what mabuild build --shard built, for all platforms of --platform")
	set.StringSliceVar(&flags.platforms, "platform", nil, "with --shards, the platforms of the image: a `LIST`")
	flags.shards.addRun(set)
	set.BoolVar(&flags.dryRun, "dry-run", false, "print the index, and on standard error what would be copied; write nothing")
	set.StringVar(&flags.metadataFile, "metadata-file", "", "write the result to this `FILE` as JSON")
	set.StringVar(&flags.engineConfig, "engine-config", os.Getenv("MABUILD_ENGINE_CONFIG"), "`buildkitd.toml` with registry settings (or MABUILD_ENGINE_CONFIG)")
	return cmd
}

// causeOf is why an operation ended: what ended ctx, if anything did, or err.
func causeOf(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (f *joinFlags) run(ctx context.Context, args []string) error {
	if len(f.names) == 0 {
		return usagef("the index needs a name: add -t REGISTRY/NAME:TAG")
	}
	opts := join.Options{Logger: logger()}
	for _, spec := range f.annotations {
		annotation, err := join.ParseAnnotation(spec)
		if err != nil {
			return err
		}
		opts.Annotations = append(opts.Annotations, annotation)
	}
	finder, err := f.finder()
	if err != nil {
		return err
	}
	defer finder.close()
	wanted, err := finder.parse(args)
	if err != nil {
		return err
	}
	tags, err := join.Tags(ctx, finder.client, f.names)
	if err != nil {
		return err
	}
	sources := make([]join.Source, 0, len(wanted))
	for _, w := range wanted {
		source, err := finder.find(ctx, w)
		if err != nil {
			return err
		}
		sources = append(sources, source)
	}
	plan, err := join.New(ctx, sources, opts)
	if err != nil {
		return err
	}
	if err := printJoined(os.Stderr, plan); err != nil {
		return err
	}
	if f.dryRun {
		return printPreview(ctx, finder.client, plan, tags)
	}
	if err := plan.Push(ctx, finder.client, finder.client, tags); err != nil {
		return err
	}
	return f.report(plan, tags)
}

// report says what was done, for people and for programs.
func (f *joinFlags) report(plan *join.Plan, tags []join.Tag) error {
	names := make([]string, 0, len(tags))
	for _, tag := range tags {
		names = append(names, tag.Name)
	}
	fmt.Fprintf(os.Stderr, "Pushed %s\n", strings.Join(names, ", "))
	fmt.Println(plan.Root.Digest)
	if f.metadataFile == "" {
		return nil
	}
	m := joinedMetadata{
		Digest: plan.Root.Digest, Descriptor: plan.Root, Name: strings.Join(names, ","), Platforms: map[string]joinedPlatform{},
	}
	for _, image := range plan.Images {
		desc := image.Descriptor
		m.Platforms[image.Platform()] = joinedPlatform{desc.Digest, desc.MediaType, desc.Size, image.Source}
	}
	return writeJSON(f.metadataFile, m)
}

// joinedMetadata is the file of --metadata-file, with the keys of a build's.
type joinedMetadata struct {
	Digest     digest.Digest             `json:"containerimage.digest"`
	Descriptor ocispec.Descriptor        `json:"containerimage.descriptor"`
	Name       string                    `json:"image.name"`
	Platforms  map[string]joinedPlatform `json:"mabuild.platforms"`
}

type joinedPlatform struct {
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"mediaType"`
	Size      int64         `json:"size"`
	Source    string        `json:"source"`
}

func printJoined(w io.Writer, plan *join.Plan) error {
	table := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "PLATFORM\tDIGEST\tFROM")
	for _, image := range plan.Images {
		from := image.Source
		if n := len(image.Attestations); n > 0 {
			from += fmt.Sprintf(", with %s", amount(n, "attestation"))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", image.Platform(), image.Descriptor.Digest.Encoded()[:12], from)
	}
	return table.Flush()
}

func amount(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// printPreview prints the index, and what a push would do.
func printPreview(ctx context.Context, client *registry.Client, plan *join.Plan, tags []join.Tag) error {
	transfers, err := plan.Preview(ctx, client, tags)
	if err != nil {
		return err
	}
	for _, transfer := range transfers {
		if len(transfer.Missing) == 0 {
			fmt.Fprintf(os.Stderr, "%s has %s\n", transfer.Repository, transfer.Image.Platform())
			continue
		}
		fmt.Fprintf(os.Stderr, "%s lacks %s: %s, %s would be copied or mounted\n", transfer.Repository, transfer.Image.Platform(),
			amount(len(transfer.Missing), "object"), units.HumanSize(float64(transfer.Size)))
	}
	for _, tag := range tags {
		switch tag.Before {
		case "":
			fmt.Fprintf(os.Stderr, "%s would be new\n", tag.Name)
		case plan.Root.Digest:
			fmt.Fprintf(os.Stderr, "%s is this index already\n", tag.Name)
		default:
			fmt.Fprintf(os.Stderr, "%s would move from %s to %s\n", tag.Name, tag.Before, plan.Root.Digest)
		}
	}
	_, err = fmt.Printf("%s\n", plan.Body)
	return err
}

// sourceFinder finds sources where the user wants them looked for.
type sourceFinder struct {
	where      string
	repository string // where digests are
	store      *output.Layout
	client     *registry.Client
	close      func()
}

func (f *joinFlags) finder() (*sourceFinder, error) {
	finder := &sourceFinder{where: f.source, close: func() {}}
	repositories, err := output.Repositories(f.names[:1])
	if err != nil {
		return nil, usagef("%w; write -t REGISTRY/NAME:TAG", err)
	}
	finder.repository = repositories[0]
	if finder.client, err = newRegistryClient(f.engineConfig); err != nil {
		return nil, err
	}
	switch f.source {
	case "registry":
		return finder, nil
	case "auto", "store":
	default:
		return nil, usagef("--source=%s is unknown; use auto, store or registry", f.source)
	}
	store, release, err := useStore()
	if err != nil {
		return nil, err
	}
	finder.store = store
	finder.close = func() { _ = release() }
	return finder, nil
}

// wantedSource is one SOURCE of the command line.
type wantedSource struct {
	name      string
	platforms []ocispec.Platform
}

func (f *sourceFinder) parse(args []string) ([]wantedSource, error) {
	wanted := make([]wantedSource, 0, len(args))
	for _, arg := range args {
		w := wantedSource{name: arg}
		if list, name, ok := strings.Cut(arg, "="); ok { // no reference has one
			parsed, err := planner.ParsePlatforms(list)
			if err != nil {
				return nil, usagef("the source %q: %w", arg, err)
			}
			w = wantedSource{name: name, platforms: parsed}
		}
		if _, err := reference.ParseAnyReference(w.name); err != nil {
			return nil, usagef("the source %q: %w; write REGISTRY/NAME:TAG or a digest", arg, err)
		}
		wanted = append(wanted, w)
	}
	return wanted, nil
}

func (f *sourceFinder) find(ctx context.Context, wanted wantedSource) (join.Source, error) {
	source := join.Source{Name: wanted.name, Platforms: wanted.platforms}
	if f.store != nil {
		entry, err := f.store.Find(ctx, wanted.name)
		if err == nil {
			source.Name += " in the image store"
			source.Root, source.Content = entry.Descriptor, f.store
			return source, nil
		}
		if !errors.Is(err, output.ErrNotFound) {
			return join.Source{}, err
		}
		if f.where == "store" {
			return join.Source{}, fmt.Errorf("%w\n`mabuild images` lists what is in the image store.", err)
		}
	}
	ref := wanted.name
	if digest.Digest(ref).Validate() == nil {
		ref = f.repository + "@" + ref
		source.Name = ref
	}
	var err error
	if source.Root, err = f.client.Resolve(ctx, ref); err != nil {
		return join.Source{}, fmt.Errorf("looking for the source %s: %w", wanted.name, err)
	}
	if source.Content, err = f.client.Source(ref); err != nil {
		return join.Source{}, err
	}
	return source, nil
}
