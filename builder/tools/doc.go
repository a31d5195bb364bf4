// Package tools finds the programs that the engine needs beside itself: QEMU and
// runc, on PATH or in images.
//
//	paths, err := tools.Find(ctx, tools.Options{
//		Mode:     mode,             // of MABUILD_TOOLS, by ParseMode
//		Images:   images,           // of --tools-image, by ParseImages
//		Registry: registry.New(registry.Options{}),
//	}, tools.Needs{Runc: true, QEMU: []string{"aarch64", "riscv64"}})
//
// # Where tools come from
//
//	MABUILD_TOOLS   PATH    image
//	path (default)  first   what PATH lacks
//	image           no      always
//	never           only    no: what PATH lacks is an error
//
// On PATH, QEMU is qemu-ARCH-static or qemu-ARCH, statically linked, and runc is
// mabuild-runc beside this program, buildkit-runc or runc, which must have
// libseccomp. Runc is also looked for in the sbin folders, which Debian leaves out
// of the PATH of ordinary users. Nothing is downloaded for what is there.
//
// In images, they are where these two have them, both of which are made for every
// platform that BuildKit runs on:
//
//	docker.io/tonistiigi/binfmt   /usr/bin/qemu-ARCH
//	docker.io/moby/buildkit       /usr/bin/buildkit-runc
//
// Another image may also have /usr/bin/qemu-ARCH-static, or runc in /usr/bin or
// an sbin folder, as Debian's packages do. An image comes straight from its
// registry; no Docker is needed. Of an index, the image for exactly this machine's
// platform is taken; its layers are read from the top, and no further down than
// the file makes it necessary. Links are followed inside the image only, whiteouts
// hide what is below them, and no path that a layer names is ever written to.
//
// A file is accepted if it is an ELF program for this machine, linked statically
// (runc: or with a dynamic linker that this machine has), of at most 200 MiB, and
// answers --version as the tool does. It runs once for that.
//
// # Cache and lock file
//
// The cache is mabuild/tools in the user's cache folder. A tool's place in it is
// named by the digest of its image's manifest; it gets there in one step when all
// checks have passed. One process at a time adds to the cache, the others wait for
// it and then use what it fetched. A killed process leaves a tmp-* folder, which
// the next download removes.
//
// The lock file, tools.lock.json in the same folder, says what each tool is:
//
//	{
//	  "version": 1,
//	  "images": [
//	    {
//	      "reference": "docker.io/tonistiigi/binfmt:latest",
//	      "platform": "linux/amd64",
//	      "index": "sha256:…",
//	      "manifest": "sha256:…",
//	      "locked": "2026-11-25T18:00:00Z",
//	      "files": [
//	        {"name": "qemu-aarch64", "path": "/usr/bin/qemu-aarch64", "digest": "sha256:…", "size": 12918384}
//	      ]
//	    }
//	  ]
//	}
//
// From then on the reference means that manifest: no registry is asked for a tool
// that is in the cache, and one that isn't comes from the locked manifest, whatever
// the tag names by then. Only Options.Refresh moves on. It keeps the generation
// before, which a running engine may use, and removes older ones. A copy of the
// lock file gives other machines of the same platform the same bytes.
//
// # What is trusted
//
// QEMU and runc run with the rights of the engine, and a QEMU handler with the flag
// C runs with root's rights inside containers: what they are matters.
//
//   - At first use, and at each refresh: the registry, over TLS, and whoever may
//     move the tag. A reference with a digest (--tools-image NAME@sha256:…) leaves
//     that out. No signature is checked.
//   - Manifests and layers have the digests by which they are asked for; a mirror or
//     proxy cannot change them unnoticed. A layer is verified before anything takes
//     it apart.
//   - After that the lock file, and nothing else. A tool in the cache is hashed
//     before each use; one that differs from the lock file is an error
//     ([ErrTampered]), and is neither used nor replaced.
//   - Who can write in the cache folder can change tool and lock file together, and
//     so can the user's own programs. A folder in which everybody may write is
//     refused.
//   - What is on PATH is trusted as it is, like every command on it.
//
// # What this package does not do
//
// It registers no handler (package emulation does) and starts no engine. It runs no
// QEMU but for its version. Who runs one from tonistiigi/binfmt directly, without a
// handler that has the flag P, has to know that it takes the program's first
// argument for its argv[0].
package tools
