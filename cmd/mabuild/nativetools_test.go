package main

import (
	"testing"

	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/emulation/toolbox"
)

func TestToolText(t *testing.T) {
	const (
		native  = "native where the engine has a toolbox for the base (mabuild toolbox ls)"
		openssl = ": digests and certificates are the same; what it says of its machine and speed is not"
		wide    = "native on 64-bit platforms where the engine has a toolbox for the base (mabuild toolbox ls)"
	)
	for _, test := range []struct{ program, tools, want string }{
		{"cc1", dispatch.AssistProven, native},
		{"cc1", dispatch.AssistAll, native},
		{"cc1", dispatch.AssistOff, "with --assist=proven, " + native},
		{"aarch64-linux-gnu-as", dispatch.AssistProven, native},
		{"arm-linux-gnueabihf-ld.bfd", dispatch.AssistProven, native},
		{"[", dispatch.AssistProven, native},
		{"sh", dispatch.AssistProven, wide},
		{"x86_64-linux-gnu-ld", dispatch.AssistProven, native},
		{"cc", dispatch.AssistProven, "none (the driver tells directories, and with -march=native the machine)"},
		{"xz", dispatch.AssistProven, wide},
		{"openssl", dispatch.AssistAll, native + openssl},
		{"openssl", dispatch.AssistProven, "with --assist=all, " + native + openssl},
		{"openssl", dispatch.AssistOff, "with --assist=all, " + native + openssl},
		{"node", dispatch.AssistAll, native + ": for tsc and terser alone, which are JavaScript; process.arch tells the machine"},
		{"javac", dispatch.AssistAll, "none yet (that waits for toolboxes with the directory that java finds its parts in; in images of a JDK, --assist=java has one)"},
		{"make", dispatch.AssistAll, "none ($(MAKE_HOST) tells the machine)"},
		{"go", dispatch.AssistProven, "native where recipe go knows the base and the command, as CGO_ENABLED=0 go build"},
		{"perl", dispatch.AssistProven, "none (Config and @INC tell the machine; modules of the target do not load)"},
		{"ruby3.1", dispatch.AssistProven, "none (Config and @INC tell the machine; modules of the target do not load)"},
		{"apt", dispatch.AssistProven, "none (the native architecture is compiled in)"},
		{"apt-get", dispatch.AssistProven, "none (the native architecture is compiled in)"},
		{"apt-extracttemplates", dispatch.AssistProven, "none (the native architecture is compiled in)"},
		{"ghc", dispatch.AssistProven, "none are known"},
		{"\x1b[2J", dispatch.AssistProven, "none are known"},
		{"", dispatch.AssistProven, "none are known"},
		{"[a-", dispatch.AssistProven, "none are known"},
	} {
		t.Run(test.program+" "+test.tools, func(t *testing.T) {
			if got := (assistance{tools: test.tools}).toolText(test.program); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	// What is said of a class is true of every program in it.
	for _, rule := range toolbox.Policy() {
		if rule.Class != toolbox.Proven && rule.Class != toolbox.OptIn && rule.Class != toolbox.Never {
			t.Errorf("nothing is said of class %q", rule.Class)
		}
	}
}

// Only the built-in engine has toolboxes.
func TestNativeToolsOfNodes(t *testing.T) {
	if (&buildOptions{connection: connection{node: "tcp://a:1"}}).nativeTools() != nil {
		t.Error("a node has tools")
	}
	if got := (&buildOptions{}).nativeTools() != nil; got != dispatch.Supported() {
		t.Errorf("the engine has tools: %t", got)
	}
}
