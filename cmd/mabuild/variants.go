package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/output"
)

// variant is one image of a build, made for all outputs with the same attributes.
// Others are compressed or described in another way; the steps are the same.
type variant struct {
	number   int
	attrs    map[string]string // of BuildKit's exporters
	byDigest bool              // pushed without a tag; names are repositories
	names    []string
	kept     []output.Spec // in the image store, in directories and archives
	pushed   []output.Spec
	twins    *output.Twins
	layout   *output.Layout     // has the blobs of what is kept
	root     ocispec.Descriptor // what was published
}

// variants are the images that the outputs ask for, those that are kept first, as they
// are published first.
func (o *buildOptions) variants() []*variant {
	var all []*variant
	force := len(o.compressions()) > 1
	for _, spec := range o.outputs {
		if !isImage(spec) {
			continue
		}
		attrs := spec.ImageAttrs()
		if force {
			// BuildKit takes for an image what it compressed before for another one.
			attrs["force-compression"] = "true"
		}
		i := slices.IndexFunc(all, func(v *variant) bool { return v.byDigest == spec.ByDigest && maps.Equal(v.attrs, attrs) })
		if i < 0 {
			i = len(all)
			all = append(all, &variant{attrs: attrs, byDigest: spec.ByDigest, twins: &output.Twins{}})
			if !spec.ByDigest {
				all[i].names = slices.Clone(o.tags)
			}
		}
		v := all[i]
		for _, name := range spec.Names {
			if !slices.Contains(v.names, name) {
				v.names = append(v.names, name)
			}
		}
		if spec.Push {
			v.pushed = append(v.pushed, spec)
		} else {
			v.kept = append(v.kept, spec)
		}
	}
	slices.SortStableFunc(all, func(a, b *variant) int { return min(len(b.kept), 1) - min(len(a.kept), 1) })
	for i := range all {
		all[i].number = i
	}
	return all
}

// compressions are those of all images, with their levels.
func (o *buildOptions) compressions() map[string]map[string]bool {
	found := make(map[string]map[string]bool)
	for _, spec := range o.outputs {
		if !isImage(spec) {
			continue
		}
		if found[spec.Compression()] == nil {
			found[spec.Compression()] = make(map[string]bool)
		}
		found[spec.Compression()][spec.Attrs["compression-level"]] = true
	}
	return found
}

func isImage(spec output.Spec) bool {
	return !slices.Contains([]output.Type{output.Local, output.Tar, output.CacheOnly}, spec.Type)
}

// publisher publishes the variant's images by another one, and notes what became of
// them.
func (v *variant) publisher(next builder.Publisher) builder.Publisher {
	return v.twins.Publisher(noting{next, v})
}

type noting struct {
	builder.Publisher
	variant *variant
}

func (n noting) Publish(ctx context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	root, err := n.Publisher.Publish(ctx, manifests)
	if err == nil {
		n.variant.root = root
	}
	return root, err
}

// text says how the variant differs from what is made without attributes.
func (v *variant) text() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(v.attrs)) {
		if name != "oci-mediatypes" || v.attrs[name] != "true" {
			list = append(list, name+"="+v.attrs[name])
		}
	}
	return strings.Join(list, ",")
}

// isStored reports whether an output is kept in the image store, and loaded from there
// if Docker is to have it.
func isStored(spec output.Spec) bool {
	return spec.Type == output.Image && !spec.Push || isLoaded(spec)
}

func isLoaded(spec output.Spec) bool { return spec.Type == output.Docker && spec.Dest == "" }

// checkOutputs refuses what one build cannot make.
func (o *buildOptions) checkOutputs() error {
	dest := make(map[string]bool)
	for _, spec := range o.outputs {
		where := spec.Dest // a path, standard output, or the store and registries
		if where == "" {
			where = strings.TrimRight(fmt.Sprint(spec.Type, spec.Push, spec.Attrs, strings.Join(spec.Names, ",")), " ")
		}
		if dest[where] {
			return usagef("two outputs go to the same place, %q; leave one away", cmp.Or(spec.Dest, "type="+string(spec.Type)))
		}
		dest[where] = true
	}
	for compression, levels := range o.compressions() {
		if len(levels) > 1 {
			return usagef("two outputs have different levels of %s, but layers are compressed by it once; give both the same compression-level", compression)
		}
	}
	pushed, stored := make(map[string]bool), make(map[string]bool)
	for _, v := range o.variants() {
		for _, place := range []struct {
			names map[string]bool
			goes  bool
			what  string
		}{{pushed, len(v.pushed) > 0, "pushed"}, {stored, slices.ContainsFunc(v.kept, isStored), "kept in the image store"}} {
			if !place.goes {
				continue
			}
			if len(v.names) == 0 && len(v.pushed) > 0 {
				return usagef("pushing needs a name: add -t REGISTRY/NAME:TAG")
			}
			for _, name := range v.names {
				if place.names[name] {
					return usagef("two images with different attributes are %s as %s; give each a name of its own by name= instead of -t", place.what, name)
				}
				place.names[name] = true
			}
		}
	}
	return nil
}

// nameOutputs completes the names of the outputs and of the result.
func (o *buildOptions) nameOutputs(tags []string) error {
	for _, name := range tags {
		full, err := tagged(name)
		if err != nil {
			return err
		}
		o.tags = append(o.tags, full)
	}
	o.names = slices.Clone(o.tags)
	for i := range o.outputs {
		spec := &o.outputs[i]
		full := tagged
		if spec.ByDigest {
			full = untagged
		}
		names := make([]string, 0, len(spec.Names))
		for _, name := range spec.Names {
			name, err := full(name)
			if err != nil {
				return err
			}
			names = append(names, name)
			if !slices.Contains(o.names, name) {
				o.names = append(o.names, name)
			}
		}
		spec.Names = names
		if spec.ByDigest && len(names) == 0 {
			return usagef("push-by-digest=true pushes without a tag: add name=REGISTRY/REPOSITORY; -t is for other outputs")
		}
	}
	return nil
}

// tagged is the full reference of what a result is called.
func tagged(name string) (string, error) {
	ref, err := reference.ParseDockerRef(name)
	if err != nil {
		return "", usagef("the name %q is not valid: %w", name, err)
	}
	if _, ok := ref.(reference.Digested); ok {
		return "", usagef("the name %q has a digest; a result gets a tag", name)
	}
	return ref.String(), nil
}

// untagged is the full name of a repository.
func untagged(name string) (string, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", usagef("the name %q is not valid: %w", name, err)
	}
	if !reference.IsNameOnly(ref) {
		return "", usagef("push-by-digest=true pushes without a tag, but the name %q has one; write name=%s", name, ref.Name())
	}
	return ref.Name(), nil
}
