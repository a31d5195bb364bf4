// Package release holds what a release has to be: the same bytes from the same tree, with
// SBOMs that are valid. `make release` makes it.
package release
