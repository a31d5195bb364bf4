// Package buildkit solves planned jobs on one BuildKit daemon.
//
// A [Node] is a connection to a daemon: the engine that mabuild carries or any
// buildkitd, by any address that BuildKit's client knows (unix, tcp,
// docker-container, podman-container, nerdctl-container, kube-pod, ssh).
//
// A [Source] offers the build context and the Dockerfile to the daemon through
// one session that all jobs of a build share. BuildKit puts the session's id in
// the vertex of a local source, so sharing it makes the context one vertex: it is
// walked and sent once, and a stage that runs on the build platform runs once
// for all platforms. Everything else that a job needs (credentials, export
// targets) travels in a session of its own, so that jobs fail, are cancelled and
// are tried again one by one.
//
// A context that is a URL is fetched by the daemon; an archive that this process has is
// sent by the jobs' own sessions, as often as the daemon asks for it, and so are images
// in layouts.
//
// A [Solver] runs one job as one Solve of the dockerfile.v0 frontend. It does
// not use gateway callbacks: a daemon that is asked to end finishes a Solve, and
// refuses the next callback. The exception is [Solver.Call], which asks the frontend
// about the Dockerfile instead of building it, and so is [Node.Run], which runs a
// program that is talked to.
//
// [Inputs] are what jobs get beside the source: secrets, caches, entitlements,
// attributes of the frontend. A daemon that lacks a type of cache builds without it. A
// job with attestations makes an index; Solve returns what is in it.
//
// [Vertices] gathers from the reports of a job what became of each step, and how long
// it took. Steps are told by their digests, which are those of a plan by package
// planner/exact that was made with [Source.SessionID]; names can come from another
// build that happens to share a step.
//
// # Errors
//
// A failed job is an [*Error] with the step, the stage, the line of the
// Dockerfile and the last lines of the step's output; [Kind] says whose fault it
// is. A job that was cancelled because another one failed returns the cause of
// its context, never BuildKit's text for it.
package buildkit
