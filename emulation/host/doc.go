// Package host looks after the QEMU handlers of a machine: it shows what is in
// the table of binfmt_misc and who put it there, installs handlers, and takes
// back what it installed.
//
// mabuild's builds do not need it: they have a table of their own where the
// kernel can do that (Linux 6.7). It is for older kernels, and for everything
// else on the machine that wants to run programs of other architectures.
//
// # Install
//
// [Install] registers a handler with the flags POCF for every architecture that
// has a QEMU and is not run already, proves that it works by running a program
// ([probe.Run]), and leaves other people's handlers alone. What they are is told
// from where they come from ([Owner]).
//
//   - A handler of somebody else that runs the architecture in containers is
//     kept, even if it lacks the flag C or P, and the result says what it lacks.
//   - Replace takes the places of other QEMU handlers and remembers them. A
//     handler that is not QEMU's, such as Rosetta, is never replaced.
//   - Persist writes mabuild-qemu-ARCH.conf for systemd-binfmt, which registers the
//     handler at every boot. A package's file that registers the same name would
//     come later and win; if its handler was replaced, a file of the same name in
//     /etc/binfmt.d, without that line, overrides it, binfmt.d(5).
//   - A QEMU that others than root can change is not registered: with the flag C
//     it runs with root's rights.
//   - The machine's own architecture is never registered, nor one that it runs
//     without emulation.
//
// # Uninstall
//
// [Uninstall] removes the handlers that Install registered and its files, and
// registers again what it replaced. A handler that somebody else has changed
// since is left alone.
//
// # The state file
//
// What was installed and replaced is in a JSON file, with handlers as lines for
// the kernel's register file:
//
//	{
//	  "version": 1,
//	  "installed": [
//	    {
//	      "arch": "aarch64",
//	      "handler": ":qemu-aarch64:M::…:/usr/bin/qemu-aarch64-static:POCF",
//	      "replaced": [{"handler": ":qemu-aarch64:M::…:/usr/libexec/…:POF", "disabled": false}],
//	      "overrides": ["/etc/binfmt.d/qemu-aarch64.conf"]
//	    }
//	  ]
//	}
//
// An entry is written before the kernel's table is changed and again after it: a
// process that is killed between leaves an entry for something that is not
// there, never a handler without an entry. Processes that work at the same time
// wait for one another (flock on the file's name with .lock). All files are
// written beside their place and renamed, so that a process that is killed leaves
// the old file or the new one.
//
// Nothing here ever writes to the table's own "status" file: that would change
// everybody's handlers.
package host
