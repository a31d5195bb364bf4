// Package rootfs takes single files out of an image, without unpacking it.
//
//	root := rootfs.New(rootfs.Options{Layers: 3, Open: open, Dir: dir, MaxFile: 1 << 20})
//	file, err := root.Extract(ctx, "/usr/bin/tool")
//
// Layers are read from the top, and no further down than a path makes it necessary.
// They are tar archives, plain or compressed by gzip or zstd, whatever their media
// types say. A path is followed as a container would follow it: through symbolic
// links, absolute ones counted from the image's root, through hard links, and past
// whiteouts (.wh.NAME, .wh..wh..opq), which hide what lower layers have.
//
// An archive is not trusted. No path in it is ever used outside of the image, since
// files are extracted under names of this package; a path with ".." as a component
// is an error all the same. The unpacked size of a layer is limited to 2 GiB, and
// the list of what is in it to 64 MiB of memory.
package rootfs
