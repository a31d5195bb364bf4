// Package layer reads a layer of an image once and keeps what verification needs.
//
// A layer of two hundred thousand files becomes a few megabytes. Files that can
// neither be the wrong ones nor lead to them, which is most of them, are kept as
// eight bytes: a hash of their path, which is enough to know that they exist and
// that they replace something. The others are records: programs and libraries,
// scripts, archives with programs in them, links, and the marks by which a layer
// removes files of those below it.
//
// A [Layer] knows nothing of the platform that it should be for, nor of the layers
// below, so that it can be kept ([Layer.Encode], [Decode]) for other images.
//
// What a layer says about itself is not believed. Both of its digests are computed
// on the way, and [Limits] bound the time and the memory that reading it can take:
// how far it inflates, how many entries it has, how long and deep paths are, how
// much of the archives in it is looked at.
package layer
