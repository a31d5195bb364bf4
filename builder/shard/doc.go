// Package shard lets several runners build one image, each some of its platforms, with
// the registry as the only place where they meet.
//
//	meeting, err := shard.New(shard.Options{
//		Registry:  client,
//		Names:     []string{"ghcr.io/me/app:1.2"},
//		Run:       os.Getenv("GITHUB_RUN_ID"),
//		Plan:      shard.Plan{"the Dockerfile": text, "the source revision": commit},
//		Platforms: platforms, // of the whole image
//	})
//	…
//	found, err := meeting.Look(ctx) // before the build: is this plan everybody's?
//	…
//	publisher := &shard.Publisher{Meeting: meeting}
//	root, err := publisher.Publish(ctx, manifests) // of this runner's platforms
//	if publisher.Missing != nil {
//		// other shards are not ready; the last one makes the image
//	}
//
// The runners share no disk, send no messages and need no service but the registry:
// the jobs of a matrix in any CI, or people at two machines.
//
// # The protocol
//
// A shard does four things. Every one of them may be done again at any time.
//
//  1. It looks for the announcements of all platforms. One of another plan ends it
//     with a [*PlanError], before it has written anything.
//  2. Its images are in the repositories already, pushed by digest. When these show
//     them, it announces each platform: it writes an announcement under a staging tag.
//  3. It looks for the others' announcements until Options.Patience is over.
//  4. If it has seen all, it waits until all repositories show all images, joins them,
//     and writes the names of the image. If not, it is done: a [*MissingError] says
//     what is missing.
//
// Whoever sees all announcements makes the image. The shard that announces last sees
// all, because everything else was announced before, and a registry that shows late
// what it has accepted does so within Options.Patience. Several shards may see all:
// they write the same bytes.
//
// A name of the image is written once, last, and whole. Whenever a runner is killed,
// the names are absent, or what they were before, or lead to the whole image. Of
// several names some may be written before it and some not; running the job again
// finishes that.
//
// A platform that nobody builds keeps everybody else waiting, and no shard can tell
// that from a slow one. Only a last job can, one that runs after all the others: it
// calls [Meeting.Wait] and takes a [*MissingError] for the failure that it is then.
//
// # Staging tags
//
// They are in the repository of the first name:
//
//	mabuild-KEY-PLATFORM    such as mabuild-4c3f9ab0d1e2-linux-arm64
//
// KEY is twelve digits of the SHA-256 of the protocol's version, Options.Run and the
// names. The names are part of it because one run may build several images into
// one repository. The plan is not: shards of different plans have to meet, or they would
// wait for each other without a word. The attempt is not either: a job that runs again
// has to find what the others did.
//
// No list of tags is asked for; many registries refuse it, and it lags behind.
//
// # Announcements
//
// An announcement is an OCI index of one platform's image and its attestations, so
// that no clean-up of untagged manifests takes them away before the image is made. Its
// annotations are
//
//	dev.mabuild.shard.version     of the protocol: 1
//	dev.mabuild.shard.run         Options.Run
//	dev.mabuild.shard.platform    which one it is
//	dev.mabuild.shard.platforms   all of the plan, in order
//	dev.mabuild.shard.plan        JSON: the facts of the plan and their digests
//
// and those that the shard wants on the image's index. It is an OCI index even if the
// image has Docker's media types, whose list holds no annotations; a registry that
// refuses such a mixture needs images of OCI's types (oci-mediatypes=true).
//
// Everything that is read is
// checked as something that anybody can have put there: the size, the number of
// entries, the media types, one image for the right platform, attestations of that
// image only.
//
// # Plans
//
// A [Plan] says by facts what all shards have to agree on, and the refusal says which
// of them differ. Facts are compared by digest and not published. The platforms and
// their order are always compared. What differs from runner to runner by itself must
// not be a fact: times, paths, labels and annotations with times in them. The
// annotations of the index are therefore no fact, but are taken from the announcement
// of the first platform.
//
// The first announcement of a run decides for the plan. Repairing a shard whose plan
// was wrong takes a new run.
//
// # The same bytes
//
// The image's index depends on the announcements alone: images in the order of the
// plan, attestations after them, annotations of the first platform's shard, no time.
// One platform without attestations is no index but its manifest.
//
// # Re-runs
//
// A job that runs again finds the others' announcements, and its own. The first
// announcement of a platform counts: an image that is built again and comes out
// different, as most do, is left out with a warning. So a run makes one image, with
// one digest, and immutable tags are no obstacle. If the image that was announced is
// gone from the registry, the new one takes its place.
//
// This needs a registry that by then shows what the earlier attempt has written, or
// images that come out the same. Registries have no way of writing a tag only if it
// is absent; two runners that build different images for one platform at the same
// moment make two announcements, of which the registry keeps the last. Names of the
// image lead to a whole image then too, but may move from one to another.
//
// # Cleaning up
//
// Staging tags stay; they cost nothing but their place in a list. [Meeting.Tidy]
// removes them where that is harmless, for a last job that is told to. Nothing is
// removed on GitHub's registry, where removing a tag deletes the manifest. Deleting the
// announcements of a finished image there by hand does no harm to it, because they are
// manifests of their own.
//
// # Trust
//
// Who may push to the repository may announce. That is the right to write the image's
// names themselves, so announcements are not signed.
//
// # What it does not do
//
// It builds and pushes no images, finds out nothing about the CI, and copies nothing:
// the images of all shards are in the repositories of all names before they are
// announced.
package shard
