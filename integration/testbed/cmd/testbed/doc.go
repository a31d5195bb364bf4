// Command testbed serves base images and an empty registry on loopback.
//
//	testbed serve [--config FILE] [--ready FILE] [--cache DIR] [--images LIST]
//	testbed prepare [--cache DIR] [--images LIST]
//
// Serve makes the base images that are missing, which takes minutes the first
// time, starts a read-only mirror of docker.io that has them and a registry in
// memory to push to, writes an engine configuration (buildkitd.toml) that knows
// both, and prints what a shell needs:
//
//	TESTBED_MIRROR=127.0.0.1:40001
//	TESTBED_REGISTRY=127.0.0.1:40002
//	TESTBED_CONFIG='/tmp/mabuild-testbed-1/buildkitd.toml'
//
// The same lines are in the file of --ready as soon as everything answers; it
// is gone when the command ends. That is at SIGINT or SIGTERM, and when standard
// input is a pipe whose other end is closed: a script that starts the command with
// a pipe can't leave it behind.
//
// Prepare makes the images only and prints the folder of their registry storage.
package main
