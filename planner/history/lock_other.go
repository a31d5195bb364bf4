//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package history

import "os"

// Without locks, a record may get lost when the file is cut at that very moment.

func lockShared(*os.File) error            { return nil }
func lockExclusive(*os.File) (bool, error) { return true, nil }
