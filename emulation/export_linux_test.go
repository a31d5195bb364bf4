package emulation

const InitialUserNamespace = initialUserNamespace

var (
	MountError     = mountError
	NamespaceError = namespaceError
	ParseIDMap     = parseIDMap
)
