package sampler

import (
	"bytes"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is USER_HZ, the unit of times in /proc, the same on every Linux.
const ticksPerSecond = 100

// process is what one read of /proc/PID/stat tells.
type process struct {
	pid, parent int
	comm        string
	running     bool
	ticks       uint64 // of the processor, of all threads
	started     uint64 // tells a process from a later one with the same number
}

// parseStat parses /proc/PID/stat, proc_pid_stat(5). The name is in parentheses and
// may have some itself, and spaces and newlines.
func parseStat(text []byte) (process, error) {
	malformed := func(what string) (process, error) {
		return process{}, errors.New("reading a process's stat: no " + what)
	}
	begin, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if begin < 1 || end < begin {
		return malformed("name")
	}
	p := process{comm: string(text[begin+1 : end])}
	var err error
	if p.pid, err = strconv.Atoi(string(bytes.TrimSpace(text[:begin]))); err != nil {
		return malformed("number")
	}
	// The fields by their numbers in the manual, of which the state is the third.
	const state, parent, user, system, started = 3, 4, 14, 15, 22
	rest := text[end+1:]
	for number := state; number <= started; number++ {
		var field []byte
		field, rest = nextField(rest)
		var n uint64
		switch number {
		case state:
			if len(field) != 1 {
				return malformed("state")
			}
			p.running = field[0] == 'R'
			continue
		case parent, user, system, started:
			if n, err = strconv.ParseUint(string(field), 10, 63); err != nil {
				return malformed("number in field " + strconv.Itoa(number))
			}
		}
		switch number {
		case parent:
			p.parent = int(n)
		case user, system:
			p.ticks += n
		case started:
			p.started = n
		}
	}
	return p, nil
}

// nextField cuts the first word off a line.
func nextField(text []byte) (field, rest []byte) {
	text = bytes.TrimLeft(text, " ")
	if i := bytes.IndexByte(text, ' '); i >= 0 {
		return text[:i], text[i:]
	}
	return text, nil
}

// guestPath returns what an emulator runs in a process, by its /proc/PID/cmdline: the
// kernel hands an interpreter with the flag P its own path, that of the program and
// then the program's arguments.
func guestPath(cmdline []byte) string {
	_, rest, _ := bytes.Cut(cmdline, []byte{0})
	path, _, whole := bytes.Cut(rest, []byte{0})
	if !whole {
		return "" // longer than what was read, or none
	}
	return string(path)
}

// procfs reads /proc without the costs of [os.File]: the sampler reads hundreds of
// files a second.
type procfs struct {
	root   string
	buffer []byte
}

func newProcfs(root string) *procfs { return &procfs{root: root, buffer: make([]byte, 4096)} }

// read returns the start of a file, valid until the next call.
func (p *procfs) read(pid int, name string) ([]byte, error) {
	fd, err := unix.Open(p.root+"/"+strconv.Itoa(pid)+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, p.buffer)
	if err != nil {
		return nil, err
	}
	return p.buffer[:n], nil
}

// share is which part of the time in which a process wanted a processor it had one; 1
// where the kernel does not say. Of its first thread, as a process that was just
// begun has no other.
func (p *procfs) share(pid int) float64 {
	text, err := p.read(pid, "schedstat")
	if err != nil {
		return 1
	}
	return parseShare(text)
}

// parseShare parses /proc/PID/schedstat: nanoseconds on a processor, and waiting for one.
func parseShare(text []byte) float64 {
	ran, rest := nextField(text)
	waited, _ := nextField(rest)
	on, err := strconv.ParseUint(string(ran), 10, 63)
	if err != nil {
		return 1
	}
	queued, err := strconv.ParseUint(string(waited), 10, 63)
	if err != nil || on == 0 {
		return 1
	}
	return float64(on) / (float64(on) + float64(queued))
}

// executable is the file that a process runs; empty if it has ended.
func (p *procfs) executable(pid int) string {
	n, err := unix.Readlink(p.root+"/"+strconv.Itoa(pid)+"/exe", p.buffer)
	if err != nil {
		return ""
	}
	return string(p.buffer[:n])
}

// processes lists all processes but those that end meanwhile.
func (p *procfs) processes() ([]process, error) {
	fd, err := unix.Open(p.root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var list []process
	var names []string
	entries := make([]byte, 16<<10)
	for {
		n, err := unix.Getdents(fd, entries)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return list, nil
		}
		_, _, names = unix.ParseDirent(entries[:n], -1, names[:0])
		for _, name := range names {
			pid, err := strconv.Atoi(name)
			if err != nil {
				continue
			}
			text, err := p.read(pid, "stat")
			if err != nil {
				continue
			}
			if found, err := parseStat(text); err == nil {
				list = append(list, found)
			}
		}
	}
}
