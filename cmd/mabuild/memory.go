package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/planner"
)

// emulatedMemory is what one emulated platform is given room for, about twice what
// `go build` of a small HTTP server with two compilers at once was seen to have under
// QEMU 10, shared pages counted once: 416 MiB, before it had ended. Each process has its
// translated code, up to 128 MiB, beside its own memory.
const emulatedMemory = 1 << 30

// emulatedAtOnce is how many of a plan's emulated platforms the memory has room for,
// zero if that is all. --jobs goes before it, and a daemon elsewhere has memory that
// nobody knows here.
func (o *buildOptions) emulatedAtOnce(plan *planner.Plan) int {
	if o.jobs.atOnce > 0 || o.node != "" {
		return 0
	}
	emulated := 0
	for _, job := range plan.Jobs {
		if isEmulated(job) {
			emulated++
		}
	}
	available, ok := availableMemory(os.DirFS("/"))
	if !ok {
		return 0
	}
	room := emulatedRoom(available, emulated)
	if room == 0 {
		return 0
	}
	fmt.Fprintf(o.warnings(), "Building %d of %d emulated platforms at a time: %s of memory are available, and each may take %s. --jobs=%d builds all at once.\n",
		room, emulated, units.BytesSize(float64(available)), units.BytesSize(emulatedMemory), len(plan.Jobs))
	return room
}

// emulatedRoom is how many of the emulated platforms have room, zero if all have.
func emulatedRoom(available int64, emulated int) int {
	if room := int(max(available/emulatedMemory, 1)); room < emulated {
		return room
	}
	return 0
}

// isEmulated reports whether a job runs commands that this machine emulates.
func isEmulated(job planner.Job) bool {
	return slices.ContainsFunc(job.Stages, func(s planner.Stage) bool {
		return s.Runs() && !planner.Runnable(emulation.Native(), s.Platform)
	})
}

// availableMemory is what programs can have without something else having to go, by
// what the kernel says of the machine and of the control groups around this process.
func availableMemory(root fs.FS) (int64, bool) {
	available, ok := field(root, "proc/meminfo", "MemAvailable:")
	if !ok {
		return 0, false
	}
	available *= 1024
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return available, true
	}
	_, group, ok := strings.Cut(strings.TrimSpace(string(text)), "0::/")
	if !ok {
		return available, true // not the second version, which alone has the files below
	}
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		if left, ok := leftInGroup(root, path.Join("sys/fs/cgroup", dir)); ok {
			available = min(available, left)
		}
		if dir == "/" {
			return max(available, 0), true
		}
	}
}

// leftInGroup is what a control group may have beside what it has. Files that were not
// used for a while would go.
func leftInGroup(root fs.FS, dir string) (int64, bool) {
	limit, ok := number(root, path.Join(dir, "memory.max")) // or "max"
	if !ok {
		return 0, false
	}
	current, ok := number(root, path.Join(dir, "memory.current"))
	if !ok {
		return 0, false
	}
	idle, _ := field(root, path.Join(dir, "memory.stat"), "inactive_file")
	return limit - current + idle, true
}

func number(root fs.FS, name string) (int64, bool) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}

// field is the number behind a word at the beginning of a line.
func field(root fs.FS, name, word string) (int64, bool) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) > 1 && words[0] == word {
			n, err := strconv.ParseInt(words[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
