package join

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/registry"
)

// maxDepth is how deep indexes may be nested.
const maxDepth = 3

// Docker's names for configs of images.
const dockerConfig = "application/vnd.docker.container.image.v1+json"

// read returns a manifest or config. What arrives damaged is asked for once more.
func read(ctx context.Context, content registry.Provider, desc ocispec.Descriptor) ([]byte, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("digest %.100q: %w", string(desc.Digest), err)
	}
	if desc.Size < 0 || desc.Size > index.MaxSize {
		return nil, fmt.Errorf("the size of %s is given as %d bytes; more than %d are not read", desc.Digest, desc.Size, index.MaxSize)
	}
	body, err := readOnce(ctx, content, desc)
	if errors.Is(err, registry.ErrDigest) {
		body, err = readOnce(ctx, content, desc)
	}
	return body, err
}

func readOnce(ctx context.Context, content registry.Provider, desc ocispec.Descriptor) ([]byte, error) {
	reader, err := content.Open(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	body, err := io.ReadAll(io.LimitReader(reader, desc.Size+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) != desc.Size || desc.Digest.Algorithm().FromBytes(body) != desc.Digest {
		return nil, fmt.Errorf("reading %s: %w; copy it there again", desc.Digest, registry.ErrDigest)
	}
	return body, nil
}

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == index.MediaTypeDockerManifestList
}

func isManifest(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == index.MediaTypeDockerManifest
}

// flat returns the manifests below desc, without indexes, and the annotations of desc
// if it is an index.
func flat(ctx context.Context, content registry.Provider, desc ocispec.Descriptor, depth int) ([]ocispec.Descriptor, map[string]string, error) {
	switch {
	case isManifest(desc.MediaType):
		return []ocispec.Descriptor{desc}, nil, nil
	case !isIndex(desc.MediaType):
		return nil, nil, fmt.Errorf("%s is a %q, neither an image nor an index; name an image", desc.Digest, desc.MediaType)
	case depth >= maxDepth:
		return nil, nil, fmt.Errorf("indexes are nested more than %d times; name the inner ones", maxDepth)
	}
	body, err := read(ctx, content, desc)
	if err != nil {
		return nil, nil, err
	}
	parsed, nested, err := parseNested(desc.MediaType, body)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", desc.Digest, err)
	}
	var list []ocispec.Descriptor
	for at := 0; at <= len(parsed.Manifests); at++ {
		for _, inner := range nested[at] {
			manifests, _, err := flat(ctx, content, inner, depth+1)
			if err != nil {
				return nil, nil, err
			}
			list = append(list, manifests...)
		}
		if at < len(parsed.Manifests) {
			list = append(list, parsed.Manifests[at])
		}
		if len(list) > index.MaxEntries {
			return nil, nil, fmt.Errorf("it has more than %d manifests; name those that are meant", index.MaxEntries)
		}
	}
	return list, parsed.Annotations, nil
}

// parseNested reads an index with [index.Parse], which accepts no index in an index.
// Those are returned apart: nested[i] go before the entry i.
func parseNested(mediaType string, body []byte) (ocispec.Index, map[int][]ocispec.Descriptor, error) {
	rest, nested, err := cutNested(body)
	if err != nil || len(nested) == 0 {
		rest, nested = body, nil // Parse says what is wrong with it
	}
	parsed, err := index.Parse(mediaType, rest)
	return parsed, nested, err
}

// cutNested removes the indexes from the list of manifests in body.
func cutNested(body []byte) (rest []byte, nested map[int][]ocispec.Descriptor, err error) {
	if len(body) > index.MaxSize {
		return nil, nil, errors.New("it is too large")
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, nil, err
	}
	list := json.NewDecoder(bytes.NewReader(doc["manifests"]))
	if start, err := list.Token(); err != nil || start != json.Delim('[') {
		return nil, nil, errors.New("it has no list of manifests")
	}
	nested = map[int][]ocispec.Descriptor{}
	var kept []json.RawMessage
	for count := 0; list.More(); count++ {
		if count == index.MaxEntries {
			return nil, nil, errors.New("it has too many manifests")
		}
		var raw json.RawMessage
		if err := list.Decode(&raw); err != nil {
			return nil, nil, err
		}
		var desc ocispec.Descriptor
		if err := json.Unmarshal(raw, &desc); err == nil && isIndex(desc.MediaType) {
			desc.Data, desc.URLs = nil, nil
			nested[len(kept)] = append(nested[len(kept)], desc)
			continue
		}
		kept = append(kept, raw)
	}
	if len(nested) == 0 {
		return nil, nil, nil
	}
	if kept == nil {
		kept = []json.RawMessage{}
	}
	if doc["manifests"], err = json.Marshal(kept); err != nil {
		return nil, nil, err
	}
	rest, err = json.Marshal(doc)
	return rest, nested, err
}
