package index

import (
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The annotations by which BuildKit ties an attestation manifest to its image
// (buildkit's docs/attestations/attestation-storage.md).
const (
	referenceType   = "vnd.docker.reference.type"
	referenceDigest = "vnd.docker.reference.digest"
	attestation     = "attestation-manifest"
)

// internalKeys are annotations that describe how a descriptor was made or where
// it is kept, not the image. BuildKit's OCI exporter adds the time of the
// export to the descriptor that it returns (exporter/oci/export.go), which would
// give every build a digest of its own.
var internalKeys = map[string]bool{
	"config.digest":                true, // BuildKit passes the config digest from writer to exporter by it
	ocispec.AnnotationCreated:      true, // time of the export
	ocispec.AnnotationRefName:      true, // name inside an OCI layout
	"io.containerd.image.name":     true, // the same, containerd's spelling
	"containerd.io/uncompressed":   true,
	"buildkit/createdat":           true,
	"buildkit/rewritten-timestamp": true,
}

var internalPrefixes = []string{
	"containerimage.",                    // keys of BuildKit's exporter response
	"containerd.io/distribution.source.", // repositories that are known to hold the blob
}

// Public returns a copy of a descriptor's annotations without those that mean
// something only where the descriptor came from, or nil when none is left.
func Public(annotations map[string]string) map[string]string { return publicAnnotations(annotations) }

// publicAnnotations returns a copy of annotations without those that must not
// reach an index, or nil when none is left.
func publicAnnotations(annotations map[string]string) map[string]string {
	var kept map[string]string
	for key, value := range annotations {
		if isInternal(key) {
			continue
		}
		if kept == nil {
			kept = make(map[string]string, len(annotations))
		}
		kept[key] = value
	}
	return kept
}

func isInternal(key string) bool {
	if internalKeys[key] {
		return true
	}
	for _, prefix := range internalPrefixes {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// Subject returns the digest of the image that desc attests, and whether desc
// is an attestation manifest at all. The digest is empty when the annotation
// that should hold it is missing or malformed.
func Subject(desc ocispec.Descriptor) (digest.Digest, bool) {
	if desc.Annotations[referenceType] != attestation {
		return "", false
	}
	subject, err := digest.Parse(desc.Annotations[referenceDigest])
	if err != nil {
		return "", true
	}
	return subject, true
}
