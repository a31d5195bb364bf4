// Command oldqemu is an interpreter that knows as little of the flag P as QEMU
// before 6.0: it hands on the arguments that it gets from the kernel. The QEMU
// that it starts has no AT_FLAGS to see.
package main

import (
	"os"
	"strings"
	"syscall"
)

// qemu is set by the linker.
var qemu string

func main() {
	args := append([]string{qemu}, os.Args[1:]...)
	err := syscall.Exec(qemu, args, os.Environ())
	os.Stderr.WriteString(strings.Join(args, " ") + ": " + err.Error() + "\n")
	os.Exit(1)
}
