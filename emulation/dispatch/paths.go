package dispatch

import "runtime"

// What a container of an emulated step has for the stub. Everything is below
// /dev, which is a file system of the container: nothing of it gets into a layer.
const (
	// Dir is where the tools are mounted.
	Dir = "/dev/.mabuild"
	// IDDir has one directory per GNU build-id, in lower-case hexadecimal.
	IDDir = Dir + "/id"
	// OtherDir has others, for root file systems that the closure in IDDir does not fit.
	OtherDir = Dir + "/or"
	// LogPath is the file that gets a [Record] per exec, if it is there.
	LogPath = "/dev/.mabuild.log"

	// AnyName is the tool in a build-id's directory for a program that is
	// executed by a name that has no tool of its own there.
	AnyName = "_"
	// ClosureName is the file in a build-id's directory with the libraries that
	// the root file system must have, a line "BUILD-ID PATH" each.
	ClosureName = ".req"
	// RulesName is the file in a build-id's directory with what else has to be so
	// for the tool to be executed, as [FormatRules] writes it.
	RulesName = ".args"
	// PluginName is the link in a build-id's directory to the toolbox's own
	// liblto_plugin.so.
	PluginName = ".plugin"

	// MaxClosure is how many bytes a closure file may have: with one that is
	// longer, the program is emulated.
	MaxClosure = 8191
	// MaxRules is the same for a file of rules.
	MaxRules = 4095
)

// Supported reports whether programs can be dispatched on this machine. The stub
// is code for Linux on amd64; elsewhere everything stays with QEMU.
func Supported() bool { return runtime.GOOS == "linux" && runtime.GOARCH == "amd64" }
