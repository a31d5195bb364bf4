package index

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MaxEntries is the number of manifests beyond which Parse refuses an index.
// The largest public indexes have a few dozen.
const MaxEntries = 10_000

// Parse reads an OCI image index or a Docker manifest list. mediaType is the
// type by which the body was announced: the media type of its descriptor or the
// registry's Content-Type; when empty, the body's own mediaType field decides.
//
// A document is refused when it is larger than [MaxSize], has more than
// [MaxEntries] manifests, nests an index, says to be of another type than
// mediaType, has the fields of an image manifest too, or isn't valid UTF-8.
// Data and URLs of descriptors are dropped: the content of a manifest comes
// from the registry that holds the index.
func Parse(mediaType string, body []byte) (ocispec.Index, error) {
	index, err := parse(mediaType, body)
	if err != nil {
		return ocispec.Index{}, fmt.Errorf("reading an image index: %w", err)
	}
	return index, nil
}

// Flatten returns the images and attestations of the index in body, for [Join].
// It refuses whatever Parse and Join refuse: among others an attestation whose
// image is missing, and an entry that is neither image nor attestation.
func Flatten(body []byte) ([]ocispec.Descriptor, error) {
	index, err := Parse("", body)
	if err != nil {
		return nil, err
	}
	if _, _, err := Join(index.Manifests, Options{}); err != nil {
		return nil, fmt.Errorf("flattening an image index: %w", err)
	}
	return index.Manifests, nil
}

// document is an index and everything that tells it from other documents.
type document struct {
	specs.Versioned
	MediaType    string              `json:"mediaType"`
	ArtifactType string              `json:"artifactType"`
	Manifests    *entryList          `json:"manifests"`
	Subject      *ocispec.Descriptor `json:"subject"`
	Annotations  map[string]string   `json:"annotations"`

	// Fields of image manifests. A document with both reads as an image to one
	// tool and as an index to another (CVE-2021-41190).
	Config   json.RawMessage `json:"config"`
	Layers   json.RawMessage `json:"layers"`
	FSLayers json.RawMessage `json:"fsLayers"`
}

func parse(mediaType string, body []byte) (ocispec.Index, error) {
	if len(body) > MaxSize {
		return ocispec.Index{}, fmt.Errorf("%d bytes are more than %d", len(body), MaxSize)
	}
	if !utf8.Valid(body) {
		return ocispec.Index{}, errors.New("it isn't valid UTF-8")
	}
	var doc document
	if err := json.Unmarshal(body, &doc); err != nil {
		return ocispec.Index{}, err
	}
	switch {
	case doc.SchemaVersion != 2:
		return ocispec.Index{}, fmt.Errorf("schema version %d is not 2", doc.SchemaVersion)
	case doc.Config != nil || doc.Layers != nil || doc.FSLayers != nil:
		return ocispec.Index{}, errors.New("it has the fields of an image manifest")
	case doc.Manifests == nil:
		return ocispec.Index{}, errors.New("it has no list of manifests")
	}
	own, err := documentType(mediaType, doc.MediaType)
	if err != nil {
		return ocispec.Index{}, err
	}
	return ocispec.Index{
		Versioned:    doc.Versioned,
		MediaType:    own,
		ArtifactType: doc.ArtifactType,
		Manifests:    *doc.Manifests,
		Subject:      doc.Subject,
		Annotations:  doc.Annotations,
	}, nil
}

// documentType reconciles the type by which a document was announced with the
// one that it claims. OCI allows an index not to claim any.
func documentType(announced, claimed string) (string, error) {
	if announced == "" {
		announced = claimed
	}
	if claimed == "" {
		claimed = announced
	}
	if claimed == "" {
		return ocispec.MediaTypeImageIndex, nil
	}
	if announced != claimed {
		return "", fmt.Errorf("it was announced as %q but says to be %q", announced, claimed)
	}
	if claimed != ocispec.MediaTypeImageIndex && claimed != MediaTypeDockerManifestList {
		return "", fmt.Errorf("media type %q is not an image index", claimed)
	}
	return claimed, nil
}

// entryList is the list of manifests of an index. It decodes one entry after
// the other, because 4 MiB of "{}," would become hundreds of megabytes of
// descriptors before they could be counted.
type entryList []ocispec.Descriptor

// UnmarshalJSON implements [json.Unmarshaler].
func (l *entryList) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if start, err := decoder.Token(); err != nil {
		return err
	} else if start != json.Delim('[') {
		return errors.New("manifests is not a list")
	}
	entries := entryList{}
	for decoder.More() {
		if len(entries) == MaxEntries {
			return fmt.Errorf("it has more than %d manifests", MaxEntries)
		}
		var desc ocispec.Descriptor
		if err := decoder.Decode(&desc); err != nil {
			return err
		}
		if err := checkEntry(desc); err != nil {
			return fmt.Errorf("manifest %d of the list: %w", len(entries)+1, err)
		}
		desc.Data, desc.URLs = nil, nil
		entries = append(entries, desc)
	}
	*l = entries
	return nil
}

func checkEntry(desc ocispec.Descriptor) error {
	if err := desc.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %.100q: %w", string(desc.Digest), err)
	}
	if desc.Size < 0 {
		return fmt.Errorf("size %d is negative", desc.Size)
	}
	switch desc.MediaType {
	case ocispec.MediaTypeImageIndex, MediaTypeDockerManifestList:
		return errors.New("it is an index itself; indexes don't nest")
	case "":
		return errors.New("it has no media type")
	}
	return nil
}
