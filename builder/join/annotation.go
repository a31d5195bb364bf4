package join

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Annotation is one annotation of the index or of its entries.
type Annotation struct {
	// Entries puts it on entries of images and not on the index.
	Entries bool
	// Platform narrows Entries down. Default: all images.
	Platform *ocispec.Platform
	// Key and Value are the annotation.
	Key, Value string
}

var annotationPlace = regexp.MustCompile(`^([a-z-]+)(?:\[([A-Za-z0-9_/.-]+)\])?:(.*)$`)

// ParseAnnotation reads an annotation in buildx's spelling:
//
//	KEY=VALUE                                   on the index
//	index:KEY=VALUE                             the same
//	manifest-descriptor:KEY=VALUE               on the entries of all images
//	manifest-descriptor[linux/arm64]:KEY=VALUE  on the entry of one
//
// Annotations of manifests can't be set, because images are not changed.
func ParseAnnotation(spec string) (Annotation, error) {
	place, value, ok := strings.Cut(spec, "=")
	if !ok {
		return Annotation{}, choicef("the annotation %q has no value; write KEY=VALUE", spec)
	}
	annotation := Annotation{Key: place, Value: value}
	if parts := annotationPlace.FindStringSubmatch(place); parts != nil {
		annotation.Key = parts[3]
		if err := annotation.at(parts[1], parts[2]); err != nil {
			return Annotation{}, fmt.Errorf("the annotation %q: %w", spec, err)
		}
	}
	if annotation.Key == "" {
		return Annotation{}, choicef("the annotation %q has no name; write KEY=VALUE", spec)
	}
	return annotation, nil
}

// at sets the place.
func (a *Annotation) at(place, platform string) error {
	switch place {
	case "index":
		if platform != "" {
			return choicef("an index has no platform; write manifest-descriptor[%s]:", platform)
		}
	case "manifest-descriptor":
		a.Entries = true
		if platform != "" {
			parsed, err := platforms.Parse(platform)
			if err != nil {
				return choicef("%v; write it like linux/arm64", err)
			}
			a.Platform = &parsed
		}
	case "manifest", "index-descriptor":
		return choicef("joining changes no image, so there are no annotations at %q; use index: or manifest-descriptor:", place)
	default:
		return choicef("annotations have no place %q; use index: or manifest-descriptor:", place)
	}
	return nil
}

// annotate sets annotations on entries, and returns those of the index.
func annotate(images []*Image, annotations []Annotation) (map[string]string, error) {
	own := map[string]string{}
	for _, annotation := range annotations {
		if !annotation.Entries {
			own[annotation.Key] = annotation.Value
			continue
		}
		found := false
		for _, image := range images {
			desc := &image.Descriptor
			if annotation.Platform != nil && !matches(*annotation.Platform, *desc.Platform) {
				continue
			}
			desc.Annotations = maps.Clone(desc.Annotations)
			if desc.Annotations == nil {
				desc.Annotations = map[string]string{}
			}
			desc.Annotations[annotation.Key] = annotation.Value
			found = true
		}
		if !found {
			return nil, choicef("the annotation %s is for %s, which none of the sources has; leave it out",
				annotation.Key, platforms.FormatAll(*annotation.Platform))
		}
	}
	return own, nil
}

// inheritance are the annotations of indexes among the sources.
type inheritance struct {
	values   map[string]string
	disputed map[string]bool
}

func (i *inheritance) add(annotations map[string]string) {
	for name, value := range annotations {
		if i.values == nil {
			i.values, i.disputed = map[string]string{}, map[string]bool{}
		}
		if other, ok := i.values[name]; ok && other != value {
			i.disputed[name] = true
		}
		i.values[name] = value
	}
}

// agreed are those that no other index contradicts, and that own does not replace.
func (i *inheritance) agreed(own map[string]string) map[string]string {
	agreed := maps.Clone(i.values)
	maps.DeleteFunc(agreed, func(name, _ string) bool {
		_, replaced := own[name]
		return replaced || i.disputed[name]
	})
	return agreed
}

// contradictions are the names of those that are left out.
func (i *inheritance) contradictions(own map[string]string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(i.disputed)), func(name string) bool {
		_, replaced := own[name]
		return replaced
	})
}
