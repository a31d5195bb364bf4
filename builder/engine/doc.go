// Package engine runs BuildKit inside mabuild's own binary.
//
// The engine is always a process of its own, started in the background by the
// first build that needs it and reached only through BuildKit's gRPC API on a
// unix socket. Anything that talks to buildkitd can talk to it, and any stock
// buildkitd can take its place.
//
// # Life of an engine
//
// [Acquire] gives a build an engine: it takes a share of the state directory's
// use lock, starts the engine if none answers, and returns a [Lease] with the
// address to dial. While a lease is held the engine does not exit by itself.
// An engine that nobody has used for [Options.Idle] takes the whole use lock and
// ends; a build that arrives in that moment waits the few milliseconds until it
// is gone and starts the next one. [Run] is the engine process itself.
//
// An engine remembers what it was started with: the version of mabuild, the
// configuration and the emulators it registered. When a build wants something
// else and nobody uses the engine, it is replaced; when it is in use,
// [Acquire] says so ([ErrBusy]).
//
// # State directory
//
//	engine.sock   BuildKit's API, mode 0600
//	engine.json   what runs: pid, version, handlers, since when ([Info])
//	engine.log    its log, rotated at 10 MiB, three old ones kept
//	engine.err    what the process wrote to stderr before it had a log
//	engine.lock   held by the engine for its life
//	start.lock    held by a client while it starts or replaces an engine
//	use.lock      shared by clients, taken whole by an engine that wants to end
//	root/         BuildKit's own state: snapshots, content, caches, history
//	qemu/         copies of QEMU that can execute native tools, one per architecture
//	toolbox/      native tools for emulated steps; absent until there are some
//	steps/        mount points of the logs of emulated steps that run
//
// Locks are flock(2) locks: a killed process leaves none behind, and a leftover
// socket is removed by the next engine, which holds engine.lock by then.
//
// # Namespaces
//
// The engine runs in a user namespace and in a mount namespace of its own, so that
// it can have a private instance of binfmt_misc (Linux 6.7 and later): QEMU is
// registered there and the host's table is never touched. [Way] has the
// alternatives. The price is BuildKit's rootless container spec: RUN steps have no
// cgroup limits and no /sys.
//
// Ids inside the namespace are, for root, all ids as they are; for an ordinary
// user, root is the user and the others are a range of /etc/subuid, mapped by
// newuidmap; and without such a range root is the only id, so that images and
// steps may have files of root alone.
//
// The QEMUs that are registered are copies with a few kilobytes of code in front, which
// executes a native tool where one is known (package emulation/dispatch) and is QEMU
// otherwise. One that cannot be prepared so is registered as it is, with a warning in
// the log. Steps that are emulated get tools, and tell the client where their time
// went, as long as the build does not say otherwise.
//
// Handlers that vanish from a private table are registered again when a build
// connects. An engine that registered other emulators than a build needs is
// replaced when nobody uses it; the cache stays.
//
// It also has a PID namespace, whose first process supervises it. However the
// engine ends, the kernel ends its RUN steps with it; a buildkitd that is killed
// leaves them running.
//
// # What it does not do
//
// It does not limit who may use the socket beyond file permissions, has no TCP
// listener, no containerd worker and no CNI networks (RUN steps see the host's
// network). Keys of a buildkitd.toml that ask for such things are an error.
package engine
