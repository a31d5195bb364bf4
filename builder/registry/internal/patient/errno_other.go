//go:build !windows

package patient

import "syscall"

const (
	connectionReset   = syscall.ECONNRESET
	connectionAborted = syscall.ECONNABORTED
	connectionRefused = syscall.ECONNREFUSED
)
