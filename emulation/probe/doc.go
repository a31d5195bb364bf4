// Package probe executes a tiny program of every architecture, to find out what
// this machine runs and how well.
//
// A handler that is registered may still be useless: its interpreter may be
// gone, be another architecture's, or be too old for its flags. Only running a
// program tells. [Run] does so, with the handlers that apply to the calling
// process, and checks five things for each architecture:
//
//	run        the program runs
//	argv0      it gets the name that it was started by (flag P)
//	child      it can execute another program, as RUN steps do all the time
//	container  it runs in an empty root directory, without QEMU in it (flag F)
//	setuid     a copy that belongs to root runs as root when another user
//	           starts it (flag C)
//
// What cannot be checked is skipped, with the reason: the last two checks need
// root, or the root of a user namespace; and what this machine's own programs
// cannot do here either, say nothing about emulation. no_new_privs and a nosuid
// or noexec file system are told from a missing flag in this way.
//
// [Version] asks the QEMU behind a handler for its version. With the flag F that
// may be another one than the file at the interpreter's path.
//
// # The program
//
// It writes argv[0] and a newline. With further arguments it executes them and
// exits with 125 if that fails; without, it exits with the lowest seven bits of
// its effective user id.
//
// Each of the ten is an ELF file of about 300 bytes without libraries, data or
// sections. The sources are in asm, in the Go assembler's language, and gen makes
// [Program]'s bytes from them with nothing but the Go toolchain; a test repeats
// that and compares the bytes.
//
// # Security
//
// The setuid copy exists for the time of the check, in a directory that only
// root and a group with a random number can enter, and belongs to that group:
// no other user can start it.
package probe

//go:generate go run ./gen -o programs.go
