// Package testbed makes base images from Debian's packages and serves them from
// registries on loopback, so that mabuild is tested with real images where no
// public registry can be reached.
//
// The images have the names, layouts, environments and commands of Docker's
// official ones; a Dockerfile that says FROM golang:1.26 builds here and, unchanged,
// on a machine with internet:
//
//	busybox               amd64 arm64 arm/v7 386 ppc64le s390x   Debian's busybox-static
//	debian:bookworm-slim  amd64 arm64                            debootstrap, minbase
//	golang:1.26           amd64 arm64                            debian, root certificates, the Go toolchain module
//
// More are made only when they are asked for by name:
//
//	debian:trixie-slim        amd64 arm64                        as bookworm-slim, of the release after it
//	eclipse-temurin:17        amd64 arm64                        debian, Debian's JDK 17 at /opt/java/openjdk
//	debian:bookworm-unpacked  amd64 s390x                        packages that are unpacked and not configured
//	debian:trixie-unpacked    amd64 arm64 arm/v7 riscv64         the same
//
// The last two are no images of Docker's: what scripts and builds run, with dpkg's
// database and without apt. None of their programs runs when they are made, so that they
// take seconds.
//
// Another two are made for this machine alone, and only when they are asked for by
// name, from the programs that it has:
//
//	tonistiigi/binfmt:latest   its qemu-ARCH-static as /usr/bin/qemu-ARCH, as far as the official image has them
//	moby/buildkit:latest       its runc as /usr/bin/buildkit-runc; Debian's is linked dynamically, the official one isn't
//
// The others come from where the machine's own apt gets Debian and its Go gets
// modules. golang is smaller than the official image: no git, no gcc. eclipse-temurin
// has neither jmods (so no jlink) nor root certificates nor a shared archive of classes.
//
// # Use
//
//	bases, err := testbed.Bases(ctx, testbed.Options{})
//	pushes, err := testbed.NewRegistry(testbed.RegistryOptions{})
//	config := testbed.EngineConfig(bases.Addr, pushes.Addr) // a buildkitd.toml
//
// An engine with that configuration finds docker.io's images at bases and may push
// to pushes. A [Registry] is the distribution registry itself, with a log of its
// requests and, on demand, faults in front of it. For use from a shell there is
// the command testbed, in cmd/testbed.
//
// # The cache
//
// [Prepare] keeps the images as a registry's storage in the user's cache folder
// (mabuild-testbed). The first run takes minutes, nearly all of them debootstrap's;
// later ones take milliseconds. Each image is made again when its recipe's version
// (in prepare.go), the mirror, or the version of Go changes. Replaced images stay in
// the storage; deleting the folder is always safe while nothing uses it.
//
// Layers depend on the packages alone: files are sorted, owned as in the package
// and dated to one day.
//
// # What the machine must have
//
// Debian or its kin with dpkg, apt and debian-archive-keyring; for debian and
// golang also root, debootstrap, a static QEMU for the other platform, Linux 6.7
// and Go. Nothing on the machine is changed: apt has a state of its own, and
// debootstrap runs in namespaces of its own, in which a private binfmt_misc knows QEMU.
package testbed
