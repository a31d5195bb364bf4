package emulation

var (
	HostArchitecture = hostArchitecture
	KernelAtLeast    = kernelAtLeast
	NativePlatforms  = nativePlatforms
	ParseVersion     = parseVersion
	PreservesArgv0   = preservesArgv0
)
