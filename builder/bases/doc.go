// Package bases looks base images up for the planner, with a cache on disk.
//
//	resolver := bases.New(bases.Options{Registry: registry.New(registry.Options{})})
//	base, err := resolver.Resolve(ctx, "golang:1.26")
//	…
//	for _, manifest := range base.Manifests {
//		fmt.Println(platforms.Format(*manifest.Platform), manifest.Digest)
//		config, err := resolver.Config(ctx, "golang:1.26", manifest)
//		…
//	}
//
// BuildKit's own imagemetaresolver has no credentials, a data race, and an answer
// for one platform only. A planner that is to find every base that lacks a platform
// needs the whole index, with the credentials and mirrors of the build.
//
// # What an image offers
//
// [Base.Manifests] are the images of an index in its order, or the one image of a
// reference that names no index:
//
//	in the registry                    in Manifests
//	OCI index, Docker manifest list    each image, with the index's platform
//	… entry without platform           the image, with the platform of its config if
//	                                   that names one, otherwise nothing
//	… attestation, unknown/unknown     nothing
//	… signature, chart, other artefact nothing, unless the index gives a platform
//	image manifest, OCI or Docker      the image, with the platform of its config
//	… config without platform          the image, with an empty platform
//	index in an index                  error
//	schema 1                           error
//
// Platforms are passed on as they are written, with variant, os.version and
// os.features; linux/arm64 and linux/arm64/v8 are for the reader to compare.
//
// # Requests
//
// A tag costs one HEAD, and one GET by digest if that digest is new; a reference
// with a digest costs one GET ever. However many goroutines and platforms ask at the
// same time, one of them does and the others share its answer, or its error. The
// request goes on while at least one caller waits for it: a caller that is cancelled
// takes nobody else along. Errors are not remembered beyond that.
//
// # Cache
//
// The cache is mabuild/bases in the user's cache folder:
//
//	blobs/sha256/HEX   manifests, indexes and configs
//	tags/HEX.json      what a tag pointed to, named by the SHA-256 of the reference
//	tmp/               files on their way to one of these
//	pruned             its time is that of the last clean-up
//
// Content is used if it has the digest that it is stored under. A file that hasn't
// is as good as none: its content is fetched again and the file is replaced. A
// reference with a digest never expires; what a tag points to is believed for
// Options.TTL, over processes, and then asked for again. With Options.Pull, what was
// found out before this Resolver was made isn't believed.
//
// A file gets to its place by a rename, so that processes can share the folder. One
// that can't be written is a warning in the log and costs requests, nothing else.
// Memory keeps up to 16 MiB beside it. Once a day, the first process that adds
// something removes what nobody has read for 30 days.
//
// Content can't be falsified through the cache, but the files in tags are believed:
// who can write in the folder can make a tag mean another image, as can the user's
// own programs. The folder is made for the user alone.
//
// # Without a registry
//
// With Options.Offline no request is made. A tag means what it last meant, however
// long ago; what is not in the cache is an error that matches [ErrOffline]. Without
// it a registry that can't be reached is an error, even if the cache has an answer:
// a build would fail for the same reason a moment later. The hint of the error says
// then how old the cached answer is.
//
// # What it does not do
//
// It doesn't judge whether a platform will do (planner/exact does), fetches no layer
// and doesn't know scratch or the stages of a Dockerfile.
package bases
