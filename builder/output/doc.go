// Package output delivers what a build made: to registries, to mabuild's own
// image store, to an archive or to a directory.
//
// # Specifications
//
// [Parse] reads what users write after -o, in buildx's spelling: a list of
// key=value with one type.
//
//	type=image[,name=REF][,push=true]   a registry with push=true, else the image store
//	type=registry[,name=REF]            type=image,push=true
//	type=oci[,dest=FILE|-][,tar=false]  an OCI layout, as an archive or (tar=false) a directory
//	type=docker[,dest=FILE|-]           an archive for docker load, or a running Docker
//	type=local,dest=DIR                 the files of the image
//	type=tar,dest=FILE|-                the files of the image in one archive
//
// With several platforms, local and tar put each platform's files in a directory
// of its own (linux_arm64). A word without "=" is type=local,dest=WORD, and "-"
// is type=tar,dest=-. Both come from BuildKit in archives, in which times are whole
// seconds. Images take oci-mediatypes, compression,
// compression-level, force-compression, rewrite-timestamp and oci-artifact as BuildKit
// does, and push-by-digest. Other keys are errors.
//
// Outputs with the same [Spec.ImageAttrs] have one image in common. For several
// images of one build, [Twins] give each publisher its own.
//
// # Layouts
//
// A [Layout] is a directory in the format of the OCI image layout specification.
// mabuild's image store ([DefaultStore]) is one: every build that is not sent
// elsewhere is kept there under its names. Its index.json is replaced
// atomically and under a lock, so concurrent builds and killed processes leave
// it whole. Blobs that no entry leads to stay until [Layout.Prune].
//
// # Publishing
//
// Publishers have the method that package builder wants of them. They join the
// platforms' manifests with package index: one platform is published as its
// plain manifest, several as one flat index. A registry gets each name last,
// once, and is asked what the name leads to afterwards; nothing is tagged before
// all platforms are there.
//
// What was interrupted leaves nothing behind: files and directories appear when
// everything that belongs to them is here ([Files], [Archiver], [Tars]), and names are
// written all or none, as long as the registry answers.
package output
