package emulation

var (
	HostArchitecture = hostArchitecture
	KernelAtLeast    = kernelAtLeast
	NativePlatforms  = nativePlatforms
	PreservesArgv0   = preservesArgv0
)
