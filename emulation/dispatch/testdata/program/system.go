package main

import (
	"bytes"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

func execveat(fd int, args []string) error {
	empty, err := unix.BytePtrFromString("")
	if err != nil {
		return err
	}
	argv, err := pointers(args)
	if err != nil {
		return err
	}
	environment, err := pointers(os.Environ())
	if err != nil {
		return err
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(empty)),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&environment[0])), unix.AT_EMPTY_PATH, 0)
	return errno
}

func pointers(texts []string) ([]*byte, error) {
	list := make([]*byte, len(texts)+1)
	for i, text := range texts {
		p, err := unix.BytePtrFromString(text)
		if err != nil {
			return nil, err
		}
		list[i] = p
	}
	return list, nil
}

// name is the process's name, which is that of its first thread.
func name() string {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var text [16]byte
	if err := unix.Prctl(unix.PR_GET_NAME, uintptr(unsafe.Pointer(&text[0])), 0, 0, 0); err != nil {
		return err.Error()
	}
	before, _, _ := bytes.Cut(text[:], []byte{0})
	return string(before)
}
