// Package integration tests mabuild as its users meet it: the static binary,
// with the real BuildKit that it carries, real QEMU and a real registry.
//
// The tests need Linux, root, runc and qemu-user-static (make setup installs
// what is missing). They skip with that reason where they cannot run, and fail
// instead when CI is set. They use loopback addresses only, keep their engine's
// state in a temporary directory, end only processes that they started, and
// leave the machine's binfmt_misc as it is. Base images come from
// integration/testbed.
package integration
