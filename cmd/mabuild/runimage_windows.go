package main

import (
	"os"
	"syscall"
)

// forwarded are the signals that the program of run gets.
var forwarded = []os.Signal{syscall.SIGINT, syscall.SIGTERM}

// isResize is for systems that have a signal for it.
func isResize(os.Signal) bool { return false }
