// Package emulation registers QEMU user-mode handlers with the kernel's
// binfmt_misc, mounts private instances of it, and judges the handlers that it
// finds.
//
// Two packages build on it: probe executes programs of other architectures to
// see how well that works, and host installs handlers for the whole machine.
//
// # What binfmt_misc is
//
// When Linux is asked to execute a file, it goes through its binary formats:
// ELF, scripts that begin with #!, and binfmt_misc. The last one is a table of
// handlers, filled from user space. Each handler says how programs begin that
// it takes (a magic number under a mask) or what their names end in, and names
// an interpreter. The kernel then executes the interpreter with the program as
// its argument. With a handler for every foreign architecture and QEMU's user
// mode as the interpreter, programs of that architecture run as if the machine
// could do so, in containers too: this is how a RUN step for linux/arm64 works
// on an amd64 machine. Without one it ends with "exec format error".
//
// The table is a file system, usually at [DefaultDir]. [Open] gives access to
// it; each handler is a file, "register" takes new ones, "status" is a switch
// for all of them at once, which this package reads and never writes.
//
//	:name:type:offset:magic:mask:interpreter:flags
//
// is the line that registers a handler ([Handler.Registration],
// [ParseRegistration]). The delimiter is whatever the line begins with; type is
// M for a magic and E for a file name's extension; bytes of magic and mask may
// be written \xHH. The kernel takes lines of up to 1920 bytes, names of up to
// 255 bytes without a slash, and looks at the first 256 bytes of a program (128
// before Linux 5.1). Its documentation limits an interpreter to 127 characters;
// the code does not, and neither does this package.
//
// # Flags
//
// Handlers for QEMU have the flags POCF ([Arch.Handler]):
//
//   - P keeps argv[0]. Without it QEMU hands the program its path instead, and
//     programs that look at their name break: busybox, login shells, compilers
//     behind symbolic links. The interpreter must know that it gets one argument
//     more. The kernel says so since Linux 5.12, QEMU listens since 6.0, and
//     [Table.RegisterFound] leaves P out where either is older.
//   - O opens the program for the interpreter, which then runs programs that may
//     be executed but not read.
//   - C takes the credentials of the new process from the program, not from the
//     interpreter, so that sudo, su and ping work for users other than root.
//     It implies O. It also means that QEMU runs with root's rights whenever a
//     setuid program of root is run: the interpreter has to be trusted, and QEMU
//     takes options from variables like QEMU_LOG_FILENAME that the user has set.
//   - F opens the interpreter when the handler is registered, and uses that open
//     file for ever. A container has a root of its own in which there is no
//     QEMU: without F every program there fails with "no such file or
//     directory". A QEMU that is upgraded is used once its handler has been
//     removed and registered again. Since F opens just that one file, QEMU has
//     to be linked statically.
//
// A handler must never take its own interpreter: the kernel would look for an
// interpreter for the interpreter, and every program that the handler takes
// would fail with ELOOP. For a handler of the machine's own architecture these
// are all programs, those needed to remove the handler included.
// [Table.Register] refuses such a handler.
//
// # Private instances
//
// Since Linux 6.7 every user namespace can have an instance of its own.
// [MountPrivate] makes one, without any privilege on the host, and its handlers
// end with it. Things to know about it:
//
//   - It replaces the parent's instance for the namespace and does not extend
//     it. Every architecture has to be registered again, even those that the
//     host runs already.
//   - A namespace without an instance uses the nearest one above it. Containers
//     that run in the namespace, or in ones below it, see the handlers although
//     they do not have the file system mounted. The search stops at the first
//     instance, empty or not.
//   - It lives as long as it is mounted somewhere. When the last mount goes, the
//     handlers are gone and the host's do not come back.
//   - A second mount in the same namespace shows the same instance.
//
// [StartInNamespace] starts a program in namespaces of its own, where
// [EnterNamespace] gives it such an instance; this works for ordinary users, too.
// [Table.Repair] puts an instance right that something has changed since.
//
// # Verdicts
//
// [Judge] says what is wrong with handlers of QEMU. The codes of its verdicts are
// stable:
//
//	code                level    what it means
//	table-disabled      broken   the table is switched off as a whole
//	disabled            broken   the handler is switched off
//	no-F                broken   no flag F: containers do not have the interpreter
//	argv0-shifted       broken   P, but QEMU or Linux is too old: programs get
//	                             their name as an argument
//	wrong-arch          broken   the magic is one architecture's, QEMU another's
//	wrong-host          broken   the interpreter is a program for another machine
//	interpreter-gone    broken   no such file; a note with F, which keeps it open
//	interpreter-fails   broken   the interpreter does not say its version
//	interpreter-dynamic broken   it needs libraries, which containers do not have
//	native-arch         broken   it takes its own interpreter; a warning if the
//	                             machine just runs those programs itself
//	no-C                warning  no flag C: sudo, su and ping fail for users
//	no-P                warning  no flag P: busybox, login shells … break
//	old-interpreter     note     QEMU was upgraded, the old one is still in use
//	shared              note     another handler takes the same programs
//
// # Which architectures
//
// [Arches] is the table, [Lookup] finds a platform in it. It has the ten
// architectures of tonistiigi/binfmt, with the same names, magics and masks.
// [Native] are the platforms for which nothing is registered.
//
// # What this package does not do
//
// It does not download QEMU, does not write configuration that outlives a
// reboot (package host does), and does not replace or remove handlers that it
// was not told to.
//
// # Sources
//
//   - Linux, Documentation/admin-guide/binfmt-misc.rst: the format and the flags
//   - Linux, fs/binfmt_misc.c: limits, status text, instances per user namespace
//   - QEMU, scripts/qemu-binfmt-conf.sh, and tonistiigi/binfmt,
//     cmd/binfmt/config.go: magics and masks
package emulation
