// Command bench compares mabuild with docker buildx and buildctl.
//
//	go run . -mabuild PATH [-service DIR | -native DIR | -large] [-runs N] [-case REGEXP] [-v]
//
// It runs on Linux, as root, with runc on PATH (buildkitd wants to see one), and
// in the folder of this module: go build makes stock buildx, buildctl and
// buildkitd of the versions in go.mod and keeps them in the user's cache folder
// (mabuild-bench/bin). The first time that takes minutes.
//
// All three clients use the same stock buildkitd and the same registry, which are
// started for the run, empty, and ended after it. In each round every client runs
// once, in an order that rotates; the round before the first isn't counted. All state
// is in a temporary folder: with TMPDIR on a memory file system (/dev/shm) the disk
// has no part in the numbers, which are then several times smaller and far steadier.
// (Where /dev/shm is mounted noexec, go run needs GOTMPDIR=/tmp beside it.)
//
// # Cases
//
//   - warm: nothing changed since the last build; 50 files, six platforms
//   - one changed: one of 50 files has new content; six platforms
//   - cold: BuildKit's cache was pruned and the repository is new; two platforms
//   - 20k warm, 20k one changed: the same with a context of 20,000 files
//
// The Dockerfile copies the context into a stage of the build platform and a
// folder of it into an empty image, so no run depends on a base image, on QEMU or
// on how fast a compiler is. Attestations are off: not all clients know them.
// Whatever was pushed is read back after each case, and a client whose image
// is not what it was asked for fails the run.
//
// Three more rows are about what mabuild carries in itself: "engine start" is the
// time of mabuild engine du when no engine runs; "engine idle rss" the memory of
// the engine process five seconds later, beside that of a fresh buildkitd; "binary
// size" the programs without their symbols.
//
// # Large contexts and layers
//
// With -large it is the memory that is asked for, which must not grow:
//
//   - 200k files, warm: a context of 200,000 files in which nothing changed, 3 rounds
//   - file of 5 GB: a context with such a file, which the daemon has not seen
//   - 0.5, 1.0, 2.0 GB of layers: four random layers of that size together, not
//     compressed, pushed by the daemon; brought to mabuild's image store, pushed from
//     there by mabuild itself, and written to an archive
//
// All but the first are measured once, and their times are no comparison: who comes
// first fills caches. 30 GB of disk are needed, and given back.
//
// # A service
//
// With -service ../../examples/go-service other cases are measured: that program, which
// is not changed for it, with a Dockerfile whose compiler is the target's own.
//
//   - service, arm64: one foreign platform; mabuild, buildx, and buildx with
//     Dockerfile.pinned, in which the compiler runs natively and Go does the rest
//   - service, amd64 and arm64: mabuild and buildx
//   - service, warm: nothing changed since the last build, 15 rounds; mabuild, mabuild
//     with --assist=off --verify=off, and buildx
//
// But for the last one BuildKit's cache is empty before each run, base images included,
// and so is mabuild's own, which keeps what it has found out about images. Rounds take
// a quarter of an hour; an odd number of them saves one emulated build, see
// [suite.RunService]. The base images are those of integration/testbed, from a loopback
// mirror; steps find the Go modules on loopback too, in this machine's module cache.
// Emulation is the kernel's, with the machine's QEMU, in a user namespace in which
// buildkitd is alone (it is then what BuildKit calls rootless). A run whose program is
// not the same as all others', byte by byte, is an error.
//
// # Native tools
//
// With -native ../../examples there are no other programs: it is mabuild's own engine
// with native tools in place of emulated programs, and without, for arm64.
//
//   - C program, arm64: examples/c-program, and beside it Dockerfile.cross, in which the
//     compiler runs natively and crosses
//   - apt-get, configure and make, arm64: examples/c-hello, also with QEMU as it is
//     without a dispatcher, which matters to programs that sign addresses
//   - Go service, arm64: examples/go-service, with what the planner and the engine do
//     together, the engine alone, and Dockerfile.pinned
//
// All are also built by an ordinary user, made for the measurement, on an engine without
// root. Everybody has to be able to read mabuild and the examples for that.
//
// Toolboxes, base images and compilers that a stage of its own installs are there before
// the first round; the stage that builds runs again each time. Times are those of the
// whole command. Images have one date in all layers, and if one has other layers than
// the same Dockerfile has made before, that is an error. The source comes from where
// the steps' apt gets its packages. TMPDIR has to be on a disk: on a memory file system
// dpkg can't rename directories of an overlay in a user namespace.
//
// # Columns
//
// The median, minimum and maximum of the wall-clock seconds; the client's peak
// resident memory, the highest of all rounds (the column has the size for "engine
// idle rss" and "binary size"); and the ratio to buildx: the median of the ratios of
// each round, where below 1 is less time than buildx takes. A service's programs are
// compared with each other below the table, as well by the median of the differences.
//
// With BENCH_JSON=FILE in the environment the rows are written to FILE as well, as
// a JSON array. Values that a row doesn't have are left out.
package main
