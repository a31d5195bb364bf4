// Package verify checks that the files of an image belong to the platform that the
// image says it is for.
//
//	reports, err := verify.Images(ctx, store, manifests, verify.Options{CacheDir: dir})
//	…
//	for _, report := range reports {
//		if report.Failed() {
//			err = verify.Text(os.Stderr, report)
//		}
//	}
//
// A build for several platforms can go wrong without a word: a stage pinned to the
// build machine's platform, a download for the wrong machine, a native tool that
// was left behind. The image is pushed, and says "exec format error" on another
// machine, weeks later. [Images] is for what a build made, before any tag moves;
// [Index] for an image that is somewhere already; [OpenArchive] for one in a file.
//
// # How it reads
//
// Layers are read once each, as streams, several at a time, and never unpacked.
// Compression is told by the content: gzip, zstd or none. Both digests of each layer
// are verified on the way. Of a file only the beginning is looked at: what an ELF
// file's header says about machine, word size, byte order, ARM's float ABI and
// version, the x86-64 level, and the interpreter that loads it; the first line of a
// script and the programs that a shell script is sure to start; the members of zip
// archives, one level deep, by the headers in front of them.
//
// What counts is what a container sees: whiteouts, opaque directories, hard and
// symbolic links, directories that replace files and files that replace directories
// are followed as engines follow them.
//
// # What a finding means
//
//	error    what ENTRYPOINT and CMD start, its loader, the interpreter of a script,
//	         a path of Options.Strict, a build machine's tool in a layer of
//	         Options.Assisted, a config that names another platform
//	warning  a directory of PATH, a directory of libraries and what is below it, an
//	         archive that has libraries, but none for the platform; an entrypoint that
//	         is missing or not executable
//	note     anywhere else, and where files for other machines are kept on purpose
//
// ENTRYPOINT and CMD are followed by PATH and WORKDIR, through links, shebang lines
// (env -S too), shells (sh -c, scripts), inits (tini, dumb-init), gosu and the like,
// java -jar, and what shell scripts exec. A variable counts if the image sets it.
// "$@" is what the script was given. Of programs that a script starts, one whose
// name tells another machine is no error if the one for the platform is started too.
//
// # What is not wrong
//
// Good images have files for other machines. [DefaultIgnore] lists the paths of
// which nothing is said; the rest is by content:
//
//	 1  test data, *.obj                ignored, also programs
//	 2  *.syso, *.o, *.a                ignored
//	 3  BPF objects                     silent: they are for no CPU
//	 4  GPU code                        silent
//	 5  firmware                        ignored in its directories, a note elsewhere
//	 6  qemu-*                          note: they are for the machine that builds
//	 7  multiarch roots, wine           note: a directory names the machine
//	 8  cross toolchains                note: as 7
//	 9  x32                             not amd64; a note in libx32
//	10  ARM                             float ABI of linked files, version by attributes
//	11  x86-64 levels                   note from v3 on, a warning for what starts; v2
//	                                    is what distributions build for
//	12  musl or glibc                   a loader that is not there, as bad as the place
//	13  Mach-O                          only programs in PATH; Java's classes are not it
//	14  PE                              only programs in PATH; .NET's libraries are data
//	15  archives                        fine with one library for the platform
//	16  packed programs, scripts        by their header
//	17  *.node, site-packages           as any ELF file
//	18  hard links, whiteouts           the final view counts
//	19  tiny and sparse files           nothing is read that is not there
//	20  kernels                         no ELF files, not executable
//	21  toolchains on purpose           note: as 7
//
// Options.Ignore adds globs, and wins over everything. In a glob ** stands for any
// number of directories; a glob without a slash is for a name in any directory.
//
// # Bounds
//
// Nothing that an image says about itself is believed. An image ends with
// [ErrLimit] if it has more than two million files or 300,000 programs, scripts and
// links, a path of more than 4 KiB or 256 directories, or a layer that inflates to
// more than 1 GiB and 64 times its size, or whose zstd window is above 16 MiB.
// Archives in a layer may inflate as far again in all; one beyond is reported as
// not read. Paths that lead out of the image, and anything that is no whole tar
// stream, are [ErrFormat]. Links in a circle are a finding.
//
// Memory: a file that is neither program, script, archive nor link takes eight
// bytes, any other about 60. 200,000 files take 35 MB with the whole process.
//
// # Cache
//
// With Options.CacheDir, what a layer holds is remembered, under its two digests
// and the version of the rules. The next verification of an image with the same
// layers reads none of them. Damaged files are read as none; the directory is kept
// below 128 MB.
//
// # What it does not do
//
// It runs nothing, knows no library by name (DT_NEEDED), and finds no program that
// a script puts together at run time. It is made to find mistakes: who wants to hide
// a program from it can.
package verify
