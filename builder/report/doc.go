// Package report shows what a build did: as one HTML page that needs nothing beside
// itself, as JSON, and in a list of the last builds.
//
//	err := report.HTML(file, build, report.Options{})
//	err := report.JSON(file, build)
//	err := report.Store{}.Save(build)
//
// [Build] is pure data. builder/report/record makes one of what BuildKit says while
// it builds.
//
// # The page
//
// It has a summary with the time that each platform spent in native, emulated and
// assisted commands; the critical path; a timeline with a lane per stage, in which
// every step is a bar that tells its command, times, inputs and output when it is
// clicked; the output of failed steps; the slowest steps; findings; and the sizes of
// layers by platform. Without scripts, as in viewers of CI artefacts that forbid them,
// all but the timeline is there.
//
// What a build says is hostile: a Dockerfile, a base image and a compiler's output may
// hold anything. It gets into the page in two ways. html/template escapes what is
// written as HTML, and removes URLs that are no links. What the script draws comes
// from a data block without a single "<", and the script sets text and never HTML. On
// top of that the page's own Content-Security-Policy allows the one script and the one
// style that belong to it, by their hashes, and no request to anywhere.
//
// The same Build gives the same bytes.
//
// # The critical path
//
// Beginning with the step that ended last, it goes to the input that ended last, and
// so on: making any other step faster does not make the build faster. What is between
// the end of an input and the beginning of the step that needs it is waiting, for a
// processor or for its turn (--jobs).
//
// # What is kept
//
// [Store] writes a file per build. Its first line is a [Summary], so that a list need
// not read whole builds; the second is the build. Files are written beside and
// renamed, so that several processes can save, list and remove at once; the oldest go
// when there are more than [Store.Keep]. They are readable by their owner alone, since
// commands and output are in them.
package report
