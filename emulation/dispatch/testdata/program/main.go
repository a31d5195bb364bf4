// Program tells how it was executed, as JSON; or executes another program in an
// unusual way, for the tests of package dispatch:
//
//	program exit CODE
//	program WAY PATH [ARGUMENT...]
//
// A WAY is one of spawn, descriptor, cloexec, opath, nnp and fsize.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) < 3 {
		tell()
		return
	}
	var err error
	switch way, path := os.Args[1], os.Args[2]; way {
	case "exit":
		code, _ := strconv.Atoi(path)
		os.Exit(code)
	case "spawn": // vfork and exec, as posix_spawn(3) does it
		err = spawn(path, os.Args[2:])
	case "descriptor":
		err = executeAt(path, unix.O_RDONLY)
	case "cloexec":
		err = executeAt(path, unix.O_RDONLY|unix.O_CLOEXEC)
	case "opath":
		err = executeAt(path, unix.O_PATH)
	case "nnp":
		runtime.LockOSThread() // the attribute is a thread's
		if err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err == nil {
			err = unix.Exec(path, os.Args[2:], os.Environ())
		}
	case "fsize":
		if err = unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{}); err == nil {
			err = unix.Exec(path, os.Args[2:], os.Environ())
		}
	default:
		tell()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func spawn(path string, args []string) error {
	process, err := os.StartProcess(path, args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return err
	}
	state, err := process.Wait()
	if err == nil && !state.Success() {
		err = fmt.Errorf("%s: %s", path, state)
	}
	return err
}

// executeAt is fexecve(3).
func executeAt(path string, flags int) error {
	fd, err := unix.Open(path, flags, 0)
	if err != nil {
		return err
	}
	return execveat(fd, os.Args[2:])
}

// view is what the tests compare; they have the same type.
type view struct {
	Arch        string
	Args        []string
	Environment []string
	Dir         string
	Name        string // of the process
	UID, EUID   int
	PID         int
	Descriptors []int
}

func tell() {
	v := view{Arch: runtime.GOARCH, Args: os.Args, Environment: os.Environ(), UID: os.Getuid(), EUID: os.Geteuid(), PID: os.Getpid()}
	v.Dir, _ = unix.Getwd()
	v.Name = name()
	// Without /proc. Go's runtime has descriptors of its own, which close on exec.
	for fd := range 64 {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			v.Descriptors = append(v.Descriptors, fd)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
		os.Exit(1)
	}
}
