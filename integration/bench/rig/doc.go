// Package rig has what a measurement runs on: stock BuildKit programs built from
// this module ([Build]), a buildkitd ([StartDaemon]), a registry in this process
// ([StartRegistry]), the Go modules of a program ([StartModules]), programs that are
// timed ([Runner]), and reading back what they pushed ([Registry.Image]).
//
// Whatever is started here is ended by its own Close, by process id; nothing looks
// for processes by name.
package rig
