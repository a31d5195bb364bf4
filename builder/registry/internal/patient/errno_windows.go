package patient

import "syscall"

// The net package passes on Winsock's numbers, of which syscall.ECONNRESET and
// its kin are not aliases.
const (
	connectionReset   = syscall.WSAECONNRESET
	connectionAborted = syscall.WSAECONNABORTED
	connectionRefused = syscall.Errno(10061) // WSAECONNREFUSED
)
