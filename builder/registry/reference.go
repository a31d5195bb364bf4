package registry

import (
	"errors"
	"fmt"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// target is a parsed reference.
type target struct {
	domain     string // as in references: docker.io, localhost:5000
	repository string // without the domain
	tag        string // latest if the reference has neither tag nor digest
	digest     digest.Digest
}

// parse reads a reference as docker does: without a host it is on Docker Hub.
func parse(ref string) (target, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return target{}, &Error{
			Op: "reading the reference", Reference: redact(ref), Err: errors.New(redact(err.Error())),
			Hint: "write it as HOST/NAME:TAG, without scheme and in lower case",
		}
	}
	t := target{domain: reference.Domain(named), repository: reference.Path(named)}
	if digested, ok := named.(reference.Digested); ok {
		t.digest = digested.Digest()
	}
	if tagged, ok := named.(reference.Tagged); ok {
		t.tag = tagged.Tag()
	}
	if t.tag == "" && t.digest == "" {
		t.tag = "latest"
	}
	return t, nil
}

// name is the repository with its domain.
func (t target) name() string { return t.domain + "/" + t.repository }

// object is what stands at the end of a manifest's URL.
func (t target) object() string {
	if t.digest != "" {
		return t.digest.String()
	}
	return t.tag
}

func (t target) String() string {
	text := t.name()
	if t.tag != "" {
		text += ":" + t.tag
	}
	if t.digest != "" {
		text += "@" + t.digest.String()
	}
	return text
}

// at returns t with another digest and no tag.
func (t target) at(d digest.Digest) target {
	t.tag, t.digest = "", d
	return t
}

func (t target) checkDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %.100q: %w", string(d), err)
	}
	return nil
}
