package emulation_test

import (
	"errors"
	"fmt"

	"github.com/containerd/platforms"

	"github.com/mabuild/mabuild/emulation"
)

func ExampleLookup() {
	arch, err := emulation.Lookup(platforms.MustParse("linux/arm64"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(arch.Name, arch.Machine)

	_, err = emulation.Lookup(platforms.MustParse("windows/amd64"))
	fmt.Println(errors.Is(err, emulation.ErrUnsupported))
	fmt.Println(err)
	// Output:
	// aarch64 EM_AARCH64
	// true
	// looking up an emulator for windows/amd64: not supported: QEMU does not run that platform; build it on a node of that platform
}

func ExampleHandler_Registration() {
	h := emulation.Handler{
		Name:        "wine",
		Interpreter: "/usr/bin/wine",
		Magic:       []byte("MZ"),
		Flags:       "F",
	}
	line, err := h.Registration()
	fmt.Println(line, err)

	h.Interpreter = "wine"
	_, err = h.Registration()
	fmt.Println(err)
	// Output:
	// :wine:M::MZ::/usr/bin/wine:F <nil>
	// formatting handler "wine": invalid: interpreter "wine" is not an absolute path
}

func ExampleParseHandler() {
	h, err := emulation.ParseHandler("qemu-arm", []byte(
		"enabled\ninterpreter /usr/bin/qemu-arm-static\nflags: OF\noffset 0\nmagic 7f454c46\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(h.Interpreter, h.Enabled)
	fmt.Println("works in containers:", h.Has('F'))
	fmt.Println("sudo works:", h.Has('C'))
	// Output:
	// /usr/bin/qemu-arm-static true
	// works in containers: true
	// sudo works: false
}

// What Debian's packages register, judged.
func ExampleJudge() {
	arch, err := emulation.ParseArch("arm64")
	if err != nil {
		fmt.Println(err)
		return
	}
	h := arch.Handler("/usr/libexec/qemu-binfmt/aarch64-binfmt-P")
	h.Flags = "POF"
	for _, j := range emulation.Judge([]emulation.Handler{h}, emulation.Facts{Kernel: "6.1.0"}) {
		fmt.Println(j.Kind, j.Arch.Name, j.Level)
		for _, v := range j.Verdicts {
			fmt.Println(v.Code+":", v.Text)
		}
	}
	// Output:
	// qemu aarch64 warning
	// no-C: no C: sudo, su and ping fail for users other than root
}
