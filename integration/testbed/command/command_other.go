//go:build !linux

package command

import (
	"context"
	"errors"
	"os/exec"
)

var errLinux = errors.New("base images are made on Linux: use a Debian machine or container")

// Run fails.
func Run(context.Context, *exec.Cmd) error { return errLinux }

// Sandbox does nothing.
func Sandbox(*exec.Cmd) {}
