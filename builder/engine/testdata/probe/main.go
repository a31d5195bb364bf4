// Command probe does what a test of emulated steps wants, and nothing else: several
// orders, separated by "+".
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

func main() {
	for orders := os.Args[1:]; len(orders) > 0; {
		order := orders
		if i := slices.Index(orders, "+"); i >= 0 {
			order, orders = orders[:i], orders[i+1:]
		} else {
			orders = nil
		}
		if err := do(order[0], order[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func do(order string, args []string) error {
	switch order {
	case "arch": // FILE
		return os.WriteFile(args[0], []byte(runtime.GOARCH), 0o644)
	case "text": // FILE TEXT
		return os.WriteFile(args[0], []byte(args[1]), 0o644)
	case "clock": // FILE, DIR for a name that no other run has, and NANOSECONDS that it goes by
		return clock(args[0], args[1], args[2])
	case "absent": // FILE
		if _, err := os.Lstat(args[0]); err == nil {
			return fmt.Errorf("%s is there", args[0])
		}
		return nil
	case "pipe": // FILE, which is replaced
		return errors.Join(os.Remove(args[0]), syscall.Mkfifo(args[0], 0o644))
	case "append": // FILE TEXT
		return appendTo(args[0], args[1])
	case "copy": // FROM TO
		return copyFile(args[0], args[1])
	case "run": // TIMES PROGRAM ARGS
		return run(args[0], args[1:])
	case "burn": // MILLISECONDS of the processor
		return burn(args[0])
	case "say": // TEXT
		fmt.Println(args[0])
		return nil
	case "native-fail": // fails where it is not emulated
		if runtime.GOARCH == "amd64" {
			return errors.New("native programs fail here")
		}
		return nil
	case "plain-fail": // fails where it is emulated
		if runtime.GOARCH != "amd64" {
			return errors.New("emulated programs fail here")
		}
		return nil
	case "wait", "plain-wait": // for ever
		if order == "plain-wait" && runtime.GOARCH == "amd64" {
			return nil
		}
		fmt.Println("waiting")
		time.Sleep(1 << 62)
	}
	return hostile(order, args)
}

func appendTo(name, text string) error {
	file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func clock(file, dir, unit string) error {
	n, err := strconv.ParseInt(unit, 10, 64)
	if err != nil {
		return err
	}
	now := strconv.FormatInt(time.Now().UnixNano()/n, 36)
	return errors.Join(os.WriteFile(file, []byte(now), 0o644), os.WriteFile(dir+"/"+now, nil, 0o644))
}

func run(times string, args []string) error {
	n, err := strconv.Atoi(times)
	if err != nil {
		return err
	}
	for range n {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	return nil
}

func burn(milliseconds string) error {
	n, err := strconv.Atoi(milliseconds)
	if err != nil {
		return err
	}
	for {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			return err
		}
		if time.Duration(usage.Utime.Nano()+usage.Stime.Nano()) > time.Duration(n)*time.Millisecond {
			return nil
		}
	}
}
