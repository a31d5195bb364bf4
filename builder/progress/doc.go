// Package progress shows the BuildKit status of concurrent jobs on one terminal.
//
// Every job of a build has a status stream of its own, and a step that several
// jobs share is reported in each of them. A [Display] merges the streams: a step
// is shown once, in the stream of the first job that reported it, under a name
// that starts with the platform it runs on. When that job ends, the next job that
// reports the step takes it over, without what has been shown of it.
//
// The drawing itself is BuildKit's progressui: [Auto], [TTY], [Plain], [JSON]
// (one BuildKit status per line, stable) and [Quiet].
package progress
