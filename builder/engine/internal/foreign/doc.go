// Package foreign runs the RUN steps of an engine that QEMU has to emulate.
//
// [Worker] is BuildKit's own worker with one method of its own: ResolveOp gives the
// steps of emulated platforms another executor. It is still BuildKit's *ops.ExecOp
// that runs them, since provenance is read from that type. Around each run, the
// executor
//
//   - mounts the native tools of the step's architecture at [dispatch.Dir], where the
//     stub in the registered QEMU finds them, and a log at [dispatch.LogPath]. Both
//     are in the container's own /dev, so nothing of them gets into a layer. Tools
//     that are installed while the step runs come to it; which it had is asked at its
//     end;
//   - samples which programs use the processor;
//   - looks for native tools in what the step leaves, which fails the step;
//   - runs some steps once more without tools, if the build wants it, see below;
//   - tells the client what it saw: a [dispatch.Step] in a progress status of the
//     step, see [dispatch.StepStatus].
//
// What cannot be had is left out: without tools, without a log or with a mount that
// is refused, the step runs as it does on any BuildKit.
//
// # What a build can say
//
// The frontend attributes [dispatch.AssistAttribute], [dispatch.AssistVerifyAttribute]
// and [dispatch.AccountingAttribute] hold for the steps of a build. [Describe] wraps a
// frontend so that every definition that it solves carries them as descriptions,
// which are no part of a digest. A definition that says nothing has the proven tools
// and accounting.
//
// # Cache keys
//
// A proven tool writes what the target's own would have written, so a step with
// proven tools has the key of a plain one and either can take the other's result. A
// step that may have others has the version of the policy in its key.
//
// # Failures
//
// A step that fails after a native program ran in it, or that leaves a native tool,
// is not given tools again as long as the engine lives. The client can build again:
// what succeeded is cached, and the step runs plain.
//
// # Tools that are left
//
// Files of the step's layer are searched, and those of its cache mounts that have
// changed since it began, in two seconds of work at most, of which archives get one. A
// file is a leak if it is a tool, by its sha256 or because its loader is below
// [dispatch.Dir], or if it is an archive of tar or ar that has one in it, or compressed
// by gzip or zstd, also in each other. Of an archive that is not compressed the headers
// are read, and what begins as a program of this machine.
//
// A cache is not undone by another run of the step, and stays when the step fails, so
// a leak is deleted from it. Other steps that use the cache at the same time may be
// taken for those that left it; they run again, too.
//
// # Comparing
//
// A step that is to be verified runs once more on a file system made from the same
// parent, with the same mounts but for the tools, the log, and an empty directory for
// each cache. What the two runs wrote is compared in overlayfs's upper directories;
// what differs between two runs without tools as well is forgotten. A difference fails
// the step with a [VerifyError] and without the flag by which the client builds again,
// since a plain result would hide it.
//
// # What was made with a tool
//
// The cache record of a step that a tool ran in has the build-ids in its metadata,
// written before the solver knows the record and removed with it. [Worker.DiskUsage]
// and [Worker.Prune] take a [dispatch.ToolFilter]: they find those records, their
// children, and by the solver's keys what was made from them, because the key of a
// COPY follows that of the step it copies from, whatever that step's files are by now.
//
// # What it does not do
//
// Containers that a frontend starts, and those of a debugger, have no tools. Steps
// with --security=insecure, behind the capturing proxy, or of a platform without a
// handler are BuildKit's alone. Archives of cpio, zip and xz are not opened, nor is
// anything searched that a step writes to a bind mount, which the Dockerfile frontend
// throws away.
package foreign
