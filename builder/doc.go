// Package builder runs a plan's jobs concurrently on a BuildKit node and joins
// their images into one.
//
// [Build] is the whole of it: it checks that the node can run what the plan
// needs, solves every job, and when all have succeeded hands their images to a
// [Publisher], which writes the index. A job that fails cancels the others; the
// error is that job's own, never "context canceled" of a sibling. Nothing is
// published unless every job succeeded.
//
// The package knows no BuildKit, no registry and no terminal. It talks to them
// through interfaces that it declares and that say no more than it needs:
// [Solver] is one node, [Publisher] is one place for results.
package builder
