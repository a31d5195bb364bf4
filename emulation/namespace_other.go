//go:build !linux

package emulation

import "os/exec"

// StartInNamespace needs Linux: the error is [ErrUnsupported].
func StartInNamespace(*exec.Cmd) error { return MountPrivate(DefaultDir) }

// MountScratch needs Linux: the error is [ErrUnsupported].
func MountScratch(dir string) error { return MountPrivate(dir) }

// EnterNamespace needs Linux: the error is [ErrUnsupported].
func EnterNamespace() (*Table, error) { return nil, MountPrivate(DefaultDir) }
