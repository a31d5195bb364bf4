package dispatch_test

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// A QEMU that is refused is registered as it is.
func ExampleInject() {
	qemu := []byte("#!/bin/sh\nexec /usr/libexec/qemu-aarch64 \"$@\"\n")
	injected, err := dispatch.Inject(qemu)
	var refused *dispatch.RefusedError
	if errors.As(err, &refused) {
		fmt.Println("everything is emulated:", refused.Reason)
		injected = qemu
	}
	fmt.Println(len(injected) == len(qemu))
	// Output:
	// everything is emulated: it is not an ELF file
	// true
}

func ExampleStep_Count() {
	file := bytes.NewReader(append(encode('N', "\x5d\xe3", "/usr/bin/as", 7), encode('U', "", "/bin/sh", 8)...))
	log, err := dispatch.ReadRecords(file, 1<<20)
	if err != nil {
		fmt.Println(err)
		return
	}
	var step dispatch.Step
	step.Count(log)
	fmt.Println("native:", step.Hits, "emulated:", step.Misses)
	// Output:
	// native: 1 emulated: map[unknown:1]
}
