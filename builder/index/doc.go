// Package index joins per-platform image manifests into one image index.
//
// It is pure: descriptors and bytes go in, descriptors and bytes come out. It
// reads no registry and no disk, and nothing that it writes depends on the
// clock, so that two processes that join the same images produce the same
// bytes and the same digest, and a retry is a no-op.
//
//	desc, body, err := index.Join(manifests, index.Options{
//		Annotations: map[string]string{"org.opencontainers.image.source": url},
//	})
//
// # What an index looks like
//
// The index is flat. Images come first, in the order given, which is the order
// in which the user named the platforms; then the attestation manifests, in the
// order of the images that they describe. There is exactly one image per
// platform. Each entry carries the media type, digest, size, platform and
// annotations of its manifest. A platform is compared in its normalised form
// (linux/arm64/v8 is linux/arm64) and written as it was given. The JSON layout
// is that of BuildKit and of docker buildx: fields in the order of the OCI Go
// types, indented by two spaces, no newline at the end.
//
//	children                   result                    annotations  attestations
//	all of Docker's types      Docker manifest list      error        error
//	anything else              OCI image index           yes          yes
//
// The bytes of children are never changed, so a mixture of both families is an
// OCI index that names Docker manifests. That is legal; some registries refuse
// it.
//
// # Attestations
//
// BuildKit stores provenance and SBOMs of an image in a manifest of its own
// beside the image. In an index such a manifest has the platform
// unknown/unknown and two annotations: vnd.docker.reference.type, with the
// value attestation-manifest, and vnd.docker.reference.digest, the image that
// it speaks of. [Join] carries an attestation only together with its image, and
// an attestation without one is an error. Readers that list platforms have to
// skip these entries; [Subject] tells them apart.
//
// A node that built one platform with attestations returns an index of two
// manifests instead of a manifest. Join refuses to nest it: call [Flatten] on
// its bytes and hand over what that returns.
//
// # Annotations
//
// Descriptors that come from BuildKit or from an OCI layout can carry
// annotations that mean something only where they came from: the time of an
// export, the name in a layout, the place from which a blob was pulled. Join
// drops those (see the list in annotations.go) and keeps the rest: the
// attestation reference and what the user set with a manifest-descriptor:
// annotation.
//
// # Reading
//
// [Parse] reads the indexes that registries hand out, with limits: 4 MiB, ten
// thousand entries, no index inside an index, one media type in all places,
// valid UTF-8. It is more tolerant than Join otherwise: duplicate platforms and
// unknown media types of children are for the caller to judge.
//
// # What it does not do
//
// It doesn't push (builder/registry does), doesn't read image configs to find a
// platform that a descriptor lacks, and doesn't look into images
// (builder/verify does).
package index
