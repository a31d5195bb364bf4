package output

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The attributes of images that change what the image is, and what they are without
// being given.
var defaults = map[string]string{
	"oci-mediatypes": "true", "compression": "gzip", "compression-level": "", "force-compression": "false",
	"rewrite-timestamp": "false", "oci-artifact": "",
}

// levels are the highest levels of the compressions that have some.
var levels = map[string]int{"gzip": 9, "estargz": 9, "zstd": 22}

// fixed are attributes of BuildKit's exporters that have one value here, and what to
// do for the other.
var fixed = map[string]struct {
	value  bool
	remedy string
}{
	"unpack": {false, "nothing is unpacked by mabuild: run it by mabuild run, or unpack it by `ctr images pull`"},
	"store":  {true, "the result is kept or pushed as type=image and type=registry say, and nowhere else: leave store away"},
}

// hints say what to write instead of keys that BuildKit or buildx knows.
var hints = map[string]string{
	"dangling-name-prefix":    "the image store keeps an image without a name by its digest; leave it away",
	"danging-name-empty-only": "the image store keeps an image without a name by its digest; leave it away",
	"registry.insecure":       "say how a registry is reached in the file of --engine-config: [registry.\"HOST\"] with http = true or insecure = true",
	"attestation-inline":      "attestations that were asked for are always there; leave it away",
	"prefer-nondist-layers":   "layers are always distributable; leave it away",
	"source-date-epoch":       "set SOURCE_DATE_EPOCH in the environment",
	"compatibility-version":   "the newest one is used; leave it away",
}

// annotationKey is BuildKit's spelling: annotation.NAME, annotation-TYPE[PLATFORM].NAME.
var annotationKey = regexp.MustCompile(`^annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.(\S+)$`)

// annotate notes an annotation in the spelling of --annotation.
func (s *Spec) annotate(key, val string) error {
	match := annotationKey.FindStringSubmatch(key)
	if match == nil {
		return fmt.Errorf("key %q is no annotation: write annotation.NAME=VALUE, or annotation-TYPE[PLATFORM].NAME=VALUE", key)
	}
	place := cmp.Or(match[1], "manifest")
	if match[2] != "" {
		place += "[" + match[2] + "]"
	}
	s.Annotations = append(s.Annotations, place+":"+match[3]+"="+val)
	return nil
}

// setImage sets an attribute of an image.
func (s *Spec) setImage(key, val string) (err error) {
	if rule, ok := fixed[key]; ok {
		on, err := parseBool(key, val)
		if err == nil && on != rule.value {
			err = fmt.Errorf("%s=%s is not supported: %s", key, val, rule.remedy)
		}
		return err
	}
	if hint, ok := hints[key]; ok {
		return fmt.Errorf("key %q is not supported: %s", key, hint)
	}
	switch key {
	case "name-canonical": // every image in a registry has its digest as a name
		_, err = parseBool(key, val)
		return err
	case "push-by-digest":
		s.ByDigest, err = parseBool(key, val)
		return err
	case "compression":
		if _, ok := levels[val]; !ok && val != "uncompressed" {
			return fmt.Errorf("compression=%s is unknown: use gzip, zstd, estargz or uncompressed", val)
		}
	case "compression-level":
		if level, err := strconv.Atoi(val); err != nil || level < 0 {
			return fmt.Errorf("compression-level=%s is not a number from 0 on; gzip and estargz go up to 9, zstd to 22", val)
		}
	case "oci-mediatypes", "force-compression", "rewrite-timestamp", "oci-artifact":
		on, err := parseBool(key, val)
		if err != nil {
			return err
		}
		val = strconv.FormatBool(on)
	default:
		return fmt.Errorf("key %q is not supported; use %s", key, strings.Join(keys(), ", "))
	}
	s.Attrs[key] = val
	return nil
}

// keys are all that a specification can have.
func keys() []string {
	list := []string{"type", "name", "dest", "push", "tar", "context", "push-by-digest", "platform-split"}
	return append(list, slices.Sorted(maps.Keys(defaults))...)
}

// ImageAttrs are the attributes of BuildKit's exporter that decide which image it
// makes. Outputs with the same ones share one image. mabuild writes OCI media types
// also where BuildKit would not without a reason.
func (s Spec) ImageAttrs() map[string]string {
	attrs := map[string]string{"oci-mediatypes": "true"}
	for key, val := range s.Attrs {
		if val != defaults[key] {
			attrs[key] = val
		}
	}
	return attrs
}

// Compression is how layers are compressed that the build makes.
func (s Spec) Compression() string {
	return cmp.Or(s.Attrs["compression"], defaults["compression"])
}

// checkAttrs refuses attributes that contradict each other.
func (s *Spec) checkAttrs() error {
	compression := s.Compression()
	docker := s.Attrs["oci-mediatypes"] == "false"
	switch {
	case docker && compression == "estargz":
		return errors.New("compression=estargz needs OCI media types: leave oci-mediatypes=false away")
	case docker && s.Attrs["oci-artifact"] == "true":
		return errors.New("oci-artifact=true needs OCI media types: leave oci-mediatypes=false away")
	}
	level, ok := s.Attrs["compression-level"]
	if !ok {
		return nil
	}
	highest, ok := levels[compression]
	if !ok {
		return fmt.Errorf("compression=%s has no levels: leave compression-level away", compression)
	}
	if n, err := strconv.Atoi(level); err != nil || n > highest {
		return fmt.Errorf("compression-level=%s is too high, %s goes up to %d", level, compression, highest)
	}
	return nil
}
