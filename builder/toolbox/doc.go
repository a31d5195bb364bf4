// Package toolbox makes toolboxes with BuildKit while a build runs that can use them.
//
// The engine tells of an emulated step that has run for a while what suites its base
// is of, if it has no toolbox for them (dispatch.Want). A [Maker] listens, finds the
// image that the step's stage began with, and builds emulation/toolbox's Dockerfile on
// it: natively, from the same packages as the image, on the same engine. First comes
// what is made of the image alone, in seconds, then what needs the distribution's
// archive. Nothing waits for that. The step that wanted them has the tools as soon as
// they are there, while it runs, and so have all others and all later builds:
//
//	maker := toolbox.NewMaker(toolbox.Options{Node: node, Store: store, Base: base})
//	defer maker.Close()
//	… report: func(job, status) { maker.Observe(status) } …
//
// A build that ends first ends the making, too. What was done of it is in BuildKit's
// cache, so that the next one goes on there. Each toolbox is tried once by a Maker:
// one that cannot be made costs speed and nothing else, and is told to the log.
package toolbox
