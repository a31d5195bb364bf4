// Package suite measures mabuild, buildx and buildctl in a fixed set of cases.
//
// [Run], like [RunLarge] and [RunService], brings up a buildkitd and a registry in a
// temporary folder, measures every case that is asked for, checks what was pushed, and
// takes everything down again. [RunNative] has mabuild's own engine in their place.
// A case is a [Case]: which platforms, how large a context, and what happens before
// each run. The clients share one BuildKit cache, so what they'd find of each other
// there is kept from them: a changed file has other content for every run, and a
// cold run has a pruned cache and a repository of its own.
package suite
