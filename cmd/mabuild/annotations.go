package main

import (
	"context"
	"maps"
	"regexp"
	"strings"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/planner"
)

// annotation is one that the user gave for one place.
type annotation struct {
	level    string // one of exptypes' types
	platform string // empty for all
	name     string
	value    string
}

type annotations []annotation

// annotationType is a level with an optional platform, as in manifest[linux/arm64].
var annotationType = regexp.MustCompile(`^([a-z-]+)(?:\[([A-Za-z0-9_/-]+)\])?$`)

// parseAnnotations reads [TYPE[[PLATFORM]][,TYPE…]:]NAME=VALUE. Without a type it is
// for the manifests.
func parseAnnotations(items []string) (annotations, error) {
	var list annotations
	for _, item := range items {
		name, value, ok := strings.Cut(item, "=")
		if !ok {
			return nil, usagef("--annotation %q is not NAME=VALUE", item)
		}
		types, rest, found := strings.Cut(name, ":")
		if !found {
			types, rest = exptypes.AnnotationManifest, name
		}
		if rest == "" || strings.ContainsAny(rest, " \t\n") {
			return nil, usagef("--annotation %q has no name, or one with blanks; write NAME=VALUE", item)
		}
		for part := range strings.SplitSeq(types, ",") {
			a := annotation{name: rest, value: value}
			match := annotationType.FindStringSubmatch(part)
			if match != nil {
				a.level = match[1]
			}
			switch a.level {
			case exptypes.AnnotationManifest, exptypes.AnnotationManifestDescriptor:
			case exptypes.AnnotationIndex, exptypes.AnnotationIndexDescriptor:
				if match[2] != "" {
					return nil, usagef("--annotation %q: an index is for all platforms; write %s:%s=%s", item, a.level, rest, value)
				}
			default:
				return nil, usagef("--annotation %q: %q is unknown; use manifest, index, manifest-descriptor or index-descriptor, and [OS/ARCH] behind the manifests", item, part)
			}
			if match[2] != "" {
				parsed, err := planner.ParsePlatforms(match[2])
				if err != nil {
					return nil, err
				}
				a.platform = key(parsed[0])
			}
			list = append(list, a)
		}
	}
	return list, nil
}

// at returns what is for one level, and for a platform if there is one. What names the
// platform goes before what does not, and the last of equals counts.
func (list annotations) at(level string, platform *ocispec.Platform) map[string]string {
	found := make(map[string]string)
	for _, own := range []bool{false, true} {
		for _, a := range list {
			if a.level == level && (a.platform != "") == own && (!own || platform != nil && a.platform == key(*platform)) {
				found[a.name] = a.value
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found
}

// check refuses what has no place: one platform is no index (case 60).
func (list annotations) check(plan *planner.Plan, attested bool) error {
	if len(plan.Jobs) > 1 || attested {
		return nil
	}
	for _, a := range list {
		if a.level == exptypes.AnnotationIndex || a.level == exptypes.AnnotationIndexDescriptor {
			return usagef("--annotation %s:%s: one platform is an image without an index; annotate the manifest", a.level, a.name)
		}
	}
	return nil
}

// exports adds those of the manifests to what jobs export; BuildKit writes them.
func (list annotations) exports(next func(planner.Job) []buildkit.Export) func(planner.Job) []buildkit.Export {
	if len(list) == 0 {
		return next
	}
	return func(job planner.Job) []buildkit.Export {
		exports := next(job)
		for i := range exports {
			if exports[i].Type != imageExporter && exports[i].Type != ociExporter {
				continue
			}
			attrs := maps.Clone(exports[i].Attrs)
			for name, value := range list.at(exptypes.AnnotationManifest, &job.Platform) {
				attrs[exptypes.AnnotationManifestKey(nil, name)] = value
			}
			exports[i].Attrs = attrs
		}
		return exports
	}
}

// annotating puts those of descriptors on what is published.
type annotating struct {
	builder.Publisher
	list annotations
}

func (a annotating) Publish(ctx context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	annotated := make([]ocispec.Descriptor, len(manifests))
	for i, desc := range manifests {
		if desc.Platform != nil && desc.Platform.OS != "unknown" {
			own := a.list.at(exptypes.AnnotationManifestDescriptor, desc.Platform)
			if len(own) > 0 {
				all := maps.Clone(desc.Annotations)
				if all == nil {
					all = make(map[string]string)
				}
				maps.Copy(all, own)
				desc.Annotations = all
			}
		}
		annotated[i] = desc
	}
	return a.Publisher.Publish(ctx, annotated)
}

// ofIndex are those of the index and of its descriptor.
func (list annotations) ofIndex() output.Annotations {
	return output.Annotations{
		Index: list.at(exptypes.AnnotationIndex, nil), Descriptor: list.at(exptypes.AnnotationIndexDescriptor, nil),
	}
}

// apply puts the annotations into a delivery.
func (list annotations) apply(d *delivery) {
	d.exports = list.exports(d.exports)
	if len(list) > 0 && d.publisher != nil {
		d.publisher = annotating{d.publisher, list}
	}
}
