// Package dispatch makes an emulated step run native programs where that changes
// nothing but the time it takes.
//
// Most of the time of an emulated RUN step goes into few programs that would do
// the same on any machine: compilers, whose output depends on their version and
// target only, archivers, compressors. Natively they are five to ten times as
// fast. A toolbox has such programs, built from the same source version for this
// machine, under the GNU build-ids of the ones that they stand for. This package
// is what executes them: the stub, and what the stub tells of a step.
//
// # The stub
//
// binfmt_misc starts QEMU for every foreign program. [Inject] puts the stub, six
// kilobytes of machine code, into the user's own QEMU, where it runs first:
//
//	kernel ── execve ──► stub ── build-id has a tool ──► execve(tool)
//	                      └──── otherwise ─────────────► QEMU's own entry
//
// It is in QEMU's process, and not a program before it, so that a program that is
// emulated costs nothing more: no second execve, no path by which the container
// would have to find QEMU, and QEMU has the stack, the descriptors and the
// auxiliary vector that the kernel made. A program that is found costs less than
// QEMU's relocation. Where no tools are mounted, in a chroot for example, there is
// just QEMU. Medians over 300 rounds of a static program that does nothing,
// QEMU 7.2 (BenchmarkExec):
//
//	QEMU alone 4.4 ms, emulated 4.4 ms (1.00), native through the stub 0.27 ms, native 0.21 ms
//
// [Inject] needs a statically linked, position-independent QEMU for amd64, as
// Debian and Ubuntu have, and refuses others with a [RefusedError]; they are then
// used as they are. Only files on the user's machine are changed, and no modified
// QEMU is distributed. On hosts other than amd64 [Supported] is false.
//
// The sources are in the directory stub; go generate builds the blob with gcc and
// objcopy, and a test builds it again and compares.
//
// # Signed addresses
//
// Programs for 64-bit ARM that are built with -mbranch-protection, all of Debian 13
// and Ubuntu 24.04, sign every return address. QEMU before 10.0 does that with the
// architecture's cipher, QARMA5, and spends most of its time there. It has another
// one, of which the manual says that it is much faster; where it has, the stub gives
// QEMU the option
//
//	-cpu max,pauth-impdef=on
//
// unless the step sets QEMU_CPU. "max" is what QEMU emulates anyway, and nothing that
// a program writes has a signature in it.
//
// # In the container
//
//	/dev/.mabuild/id/BUILD-ID/NAME     the tool for programs executed by that name
//	/dev/.mabuild/id/BUILD-ID/_        ... by any other
//	/dev/.mabuild/id/BUILD-ID/.req     libraries that must be there: "BUILD-ID PATH" lines
//	/dev/.mabuild/id/BUILD-ID/.args    rules for arguments and variables, see [FormatRules]
//	/dev/.mabuild/id/BUILD-ID/.plugin  the toolbox's liblto_plugin.so
//	/dev/.mabuild/or/BUILD-ID/         the same, looked at where .req of the other does not fit
//	/dev/.mabuild.log                  a [Record] for every exec, if the file is there
//
// A tool by the program's own name keeps the name of the process, which ps and
// killall go by. Everything is below /dev, where nothing gets into an image.
//
// # When a program is emulated
//
// The first of these that applies is the record's [Kind]:
//
//	no-build-id  it has no GNU build-id of 8 to 32 bytes in its first notes
//	unknown      there is no tool for it
//	secure       it has other rights than who executes it: AT_SECURE
//	environment  a variable changes how it would be loaded (LD_PRELOAD, LD_LIBRARY_PATH,
//	             MALLOC_*, ...; stub/rules.h has all and the reasons), sets an option of
//	             QEMU, or is MABUILD_ASSIST=0; or .args wants it set or unset
//	locale       LC_ALL, or without it LANG or any LC_*, is set to something other than C,
//	             POSIX and UTF-8 locales; for big-endian programs other than C, POSIX and
//	             C.UTF-8. Tools have no gconv modules, and locales have a byte order
//	preload      the root file system has an /etc/ld.so.preload
//	arguments    they are not such as .args has them, or .args is not whole
//	plugin       an argument makes it load foreign code: -fplugin*, -specs*, -plugin.
//	             "-plugin PATH/liblto_plugin.so" is replaced by .plugin where there is one
//	             and PATH has a build-id that .args names
//	closure      a library of the root file system is not what .req says, or a directory
//	             has more than .args allows
//	exec-failed  the kernel does not execute the tool
//
// Programs that are started in other ways than by binfmt_misc with the flags P
// and O, QEMU by hand for example, never get past the stub's first lines.
//
// An argument @FILE is looked into where .args says that it stands for those in the
// file, or where there is a .plugin: the file must not have anything that is refused,
// quotes, a -plugin (in which nothing could be replaced), or another @FILE, and be no
// pipe, which could be read but once.
//
// # What a native program sees
//
// Arguments, environment, directory, descriptors, ids, limits, no_new_privs and
// process id are those of the emulated one; nothing of the stub is left open. QEMU
// turns the order of the variables around, and so does the stub. AT_EXECFN and
// /proc/self/exe name the tool. Machine-dependent answers, of uname(2) for example, are
// those of this machine: choosing programs that do not ask is the toolbox's part. The
// build-id says what the linker made; a program that was changed afterwards and kept its
// build-id counts as the original.
//
// # What is never done
//
// The stub never makes an exec fail that QEMU would not fail, never blocks, never
// writes anything but its records. Of the step's files it reads the program and the
// libraries of a closure, the plugin and the files of arguments, lists the directories
// that .args names, and asks for /etc/ld.so.preload and what .args has it look for. A
// damaged toolbox means QEMU. With a limit for the size of files there is no record,
// because the signal would end the program.
//
// # The log
//
// Every process of the step can write to the log, forge records and remove others:
// [ReadRecords] trusts neither lengths nor contents, and resumes behind what is not
// a record. [Step] is what the engine makes of the log and of
// its own samples. It explains a build; nothing may depend on it.
//
// # Sources
//
//   - Linux, Documentation/admin-guide/binfmt-misc.rst: flags P, O, C and F; AT_FLAGS
//     bit 0 (AT_FLAGS_PRESERVE_ARGV0) and AT_EXECFD: fs/binfmt_misc.c, fs/binfmt_elf.c
//   - System V ABI, "Program Header" and "Note Section"; psABI x86-64, "Process
//     Initialization", for the registers at entry
//   - GNU build-ids: note type NT_GNU_BUILD_ID. Go's linker puts it right behind
//     PT_NOTE, where the stub looks as well (cmd/link/internal/ld/elf.go)
//   - libiberty, argv.c (expandargv), for files of arguments; gcc always gives lto1 one
//   - glibc, elf/rtld.c and sysdeps/generic/unsecvars.h, for the variables
package dispatch
