//go:build unix

package main

import (
	"os"
	"syscall"
)

// forwarded are the signals that the program of run gets.
var forwarded = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
}

func isResize(s os.Signal) bool { return s == syscall.SIGWINCH }
