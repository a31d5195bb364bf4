package emulation

const InitialUserNamespace = initialUserNamespace

var MountError = mountError
