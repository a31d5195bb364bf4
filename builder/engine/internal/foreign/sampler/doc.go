// Package sampler finds out which programs of running containers use the processor,
// for about one hundredth of a core.
//
// It reads /proc as everybody can who may see the processes, so it works in a user
// namespace, where neither cgroups nor the kernel's process accounting can be had. A
// program that QEMU runs is told by its own path, which the kernel hands QEMU.
//
// The times are samples: of one short program they say nothing, of a hundred they are
// right. They include what the emulator needs to translate a program. Processes that
// leave their container's process tree are not seen; in containers with a PID
// namespace of their own there are none.
package sampler
