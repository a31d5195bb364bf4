// Package join makes one image index of images that are somewhere already.
//
//	plan, err := join.New(ctx, []join.Source{
//		{Name: "app:amd64", Root: amd64, Content: repository},
//		{Name: "app:arm64", Root: arm64, Content: store},
//	}, join.Options{})
//	…
//	tags, err := join.Tags(ctx, client, []string{"ghcr.io/me/app:1.2"})
//	…
//	err = plan.Push(ctx, client, client, tags)
//
// It is for images that were built apart: on several machines, by the jobs of a CI
// matrix, by other tools.
//
// # Sources
//
// A source is a manifest or an index, in a registry or in an image store. [New] reads
// all manifests and configs, and no layers. Indexes are flattened, nested ones too,
// and attestations come along with the images that they describe. The order is that
// of the sources, and within an index its own, so the same sources always give the
// same bytes and the same digest. The bytes of images are never changed.
//
//	source                           becomes
//	manifest of an image             one entry; its platform is that of its config
//	index                            its images and their attestations
//	index with Source.Platforms      only those images, and their attestations
//	the same image twice             one entry
//
// # Refusals
//
// Errors name the source and the platform. What can be repaired by other arguments
// matches [ErrSources]: two different images for one platform, a platform that a
// source does not have. Everything else is wrong with a source itself: an entry
// whose platform is not that of the image's config, an attestation without its
// image, an artifact that is no image, content that is not what its digest says.
//
// A descriptor that says less than the config is completed from it: the variant, the
// version and the features of the operating system. One that says more is believed,
// because configs often leave the variant out.
//
// # Annotations
//
// [Options.Annotations] go to the index or to the entries of a platform. Annotations
// of indexes among the sources are kept if those indexes do not contradict each other;
// the others are left out with a warning.
//
// # Pushing
//
// [Plan.Push] copies to every repository what it lacks, waits until the registry shows
// it, and writes the tags when that is done for all of them: a failure before leaves
// all tags as they were. Within a registry blobs are mounted instead of moved, and
// two images that share a blob are copied one after the other, so it is sent once. A
// tag that leads to the index already is not written, so repeating a join is
// harmless, also where tags are immutable. A tag that somebody else has moved since
// [Tags] is a warning. [Plan.Preview] says what a push would do.
//
// # What it does not do
//
// It doesn't write indexes to an image store, deletes nothing, and does not look into
// layers (builder/verify does).
package join
