package tools

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// The images that have the tools, statically linked, for all the platforms that
// BuildKit runs on.
const (
	// DefaultQEMUImage has /usr/bin/qemu-ARCH.
	DefaultQEMUImage = "docker.io/tonistiigi/binfmt:latest"
	// DefaultRuncImage has /usr/bin/buildkit-runc.
	DefaultRuncImage = "docker.io/moby/buildkit:latest"
)

// Images are references of images with tools.
type Images struct {
	QEMU string // default: [DefaultQEMUImage]
	Runc string // default: [DefaultRuncImage]
}

// ParseImages reads the values of --tools-image: qemu=REF, runc=REF, or REF alone,
// which is QEMU's. A later value wins.
func ParseImages(values ...string) (Images, error) {
	var images Images
	for _, value := range values {
		name, ref, named := strings.Cut(value, "=")
		if !named {
			name, ref = "qemu", value
		}
		ref, err := normalize(ref)
		if err != nil {
			return Images{}, err
		}
		switch name {
		case "qemu":
			images.QEMU = ref
		case "runc":
			images.Runc = ref
		default:
			return Images{}, fmt.Errorf("reading the tools image %q: there is no tool %q; write qemu=REF or runc=REF", value, name)
		}
	}
	return images, nil
}

func (i Images) normalize() (Images, error) {
	if i.QEMU == "" {
		i.QEMU = DefaultQEMUImage
	}
	if i.Runc == "" {
		i.Runc = DefaultRuncImage
	}
	var err error
	if i.QEMU, err = normalize(i.QEMU); err != nil {
		return i, err
	}
	i.Runc, err = normalize(i.Runc)
	return i, err
}

// normalize returns a reference as the lock file has it: with host and tag.
func normalize(ref string) (string, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", fmt.Errorf("reading the tools image %q: %w; write it as HOST/NAME:TAG", ref, err)
	}
	return reference.TagNameOnly(named).String(), nil
}

// atDigest returns the reference of a manifest in the repository of ref.
func atDigest(ref string, d digest.Digest) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil { // it was normalized
		return ref
	}
	return reference.TrimNamed(named).String() + "@" + d.String()
}

// source is what [Tool.Source] says of an image.
func source(ref string, manifest digest.Digest) string {
	tag, _, _ := strings.Cut(ref, "@")
	return tag + "@" + manifest.String()
}
