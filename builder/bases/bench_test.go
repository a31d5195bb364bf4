package bases_test

import (
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/bases"
)

// BenchmarkResolve is a Resolve without requests: again in the same build (memory),
// and the first one of the next build (disk).
func BenchmarkResolve(b *testing.B) {
	images := content{}
	var list []ocispec.Descriptor
	for _, spec := range six { // as long as official images are
		one := as(spec, images.image(spec))
		one.Annotations = map[string]string{"org.opencontainers.image.source": strings.Repeat("x", 600)}
		list = append(list, one, images.attestation(one))
	}
	desc := images.index(ocispec.MediaTypeImageIndex, list...)
	opts := bases.Options{Registry: fixed{desc, images[desc.Digest], images}, Dir: b.TempDir()}
	run := func(b *testing.B, r *bases.Resolver) {
		b.Helper()
		base, err := r.Resolve(b.Context(), "alpine:3")
		if err != nil || len(base.Manifests) != len(six) {
			b.Fatalf("%+v, %v", base, err)
		}
	}
	warm := bases.New(opts)
	run(b, warm)
	opts.Offline = true // the TTL isn't measured
	b.Run("memory", func(b *testing.B) {
		b.ReportAllocs()
		r := bases.New(opts)
		for b.Loop() {
			run(b, r)
		}
	})
	b.Run("disk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			run(b, bases.New(opts))
		}
	})
}
