package sampler

import (
	"bytes"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// The sampler takes one hundredth of a core: it waits a hundred times as long as a
// look at the processes took it, and never less than what waking up costs a hundred
// times.
const (
	samplerShare = 100
	minInterval  = 40 * time.Millisecond
	maxInterval  = 500 * time.Millisecond
)

// Sampler finds out which programs of the running steps use the processor. One for
// all steps: what costs is reading /proc, whose processes are all the engine's,
// because the engine has a PID namespace.
//
// A process that was there at the last look is charged what it has used since, with
// all its threads. One that was not is charged the time between the looks if it is
// running, less what it waited for a processor: right on average, because most
// processes of a build begin and end between two looks and are seen as often as they
// are long, and because what a longer one uses after it was last seen is never charged.
type Sampler struct {
	proc     string // where /proc is
	emulator func(executable string) bool
	engine   int // the process whose children are the containers' runtimes

	mu      sync.Mutex
	watches map[*Watch]struct{}
	ending  chan struct{} // closed when nothing is watched any more
	ended   chan struct{}
}

// New returns a sampler that does nothing until something is watched. Interpreters
// are the paths of the emulators.
func New(interpreters []string) *Sampler {
	return &Sampler{proc: "/proc", engine: os.Getpid(), emulator: isEmulator(interpreters), watches: map[*Watch]struct{}{}}
}

// Watch is what is known of one step.
type Watch struct {
	container string
	cpu       bool                // whether processes are watched
	look      func() error        // called at each look
	failed    error               // what look returned first
	root      int                 // the runtime's process, 0 until it is found
	seen      map[int]sighting    // by PID
	seconds   map[program]float64 // the result
}

// sighting is how a process was seen last.
type sighting struct {
	ticks, started uint64
	// program is what it ran when it was charged last, told by the other two.
	program   program
	comm, exe string
}

// program is what processor time is charged to.
type program struct {
	name     string // path, or name
	emulated bool
}

// Start watches the processes of a container, if cpu is set, and calls look at every
// look.
func (s *Sampler) Start(container string, cpu bool, look func() error) *Watch {
	w := &Watch{container: container, cpu: cpu, look: look, seen: map[int]sighting{}, seconds: map[program]float64{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches[w] = struct{}{}
	if len(s.watches) == 1 {
		s.ending, s.ended = make(chan struct{}), make(chan struct{})
		go s.run(s.ending, s.ended)
	}
	return w
}

// Stop ends a watch. The error is the first of its function's.
func (s *Sampler) Stop(w *Watch) error {
	s.mu.Lock()
	delete(s.watches, w)
	ending, ended := s.ending, s.ended
	last := len(s.watches) == 0
	if last {
		close(ending)
	}
	s.mu.Unlock()
	if last {
		<-ended
	}
	return w.failed
}

func (s *Sampler) run(ending <-chan struct{}, ended chan<- struct{}) {
	defer close(ended)
	// The clock is that of the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	proc := newProcfs(s.proc)
	interval, last := minInterval, time.Now()
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-ending:
			return
		case <-timer.C:
		}
		before, now := threadTime(), time.Now()
		// A look that is much too late says little of the time before.
		s.lookAt(proc, min(now.Sub(last), 2*maxInterval))
		last = now
		interval = nextInterval(interval, threadTime()-before)
		timer.Reset(interval)
	}
}

// nextInterval follows what a look costs, with some inertia: steps that start many
// processes at once do not do so for long.
func nextInterval(interval, cost time.Duration) time.Duration {
	return min(max((3*interval+samplerShare*cost)/4, minInterval), maxInterval)
}

func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// lookAt charges what happened since the last look to the watches.
func (s *Sampler) lookAt(proc *procfs, since time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sampling := false
	for w := range s.watches {
		if err := w.look(); err != nil && w.failed == nil {
			w.failed = err
		}
		sampling = sampling || w.cpu
	}
	if !sampling {
		return
	}
	list, err := proc.processes()
	if err != nil {
		return // there is no /proc: nothing is seen
	}
	s.findRoots(proc, list)
	owners := s.owners(list)
	current := make(map[*Watch]map[int]sighting, len(s.watches))
	for _, p := range list {
		w := owners[p.pid]
		if w == nil || p.pid == w.root {
			continue
		}
		if current[w] == nil {
			current[w] = make(map[int]sighting, len(w.seen))
		}
		current[w][p.pid] = s.charge(proc, w, p, since)
	}
	for w := range s.watches {
		w.seen = current[w]
	}
}

// findRoots finds the runtime of each container among the engine's children: its
// arguments have the container's name.
func (s *Sampler) findRoots(proc *procfs, list []process) {
	byContainer := map[string]*Watch{}
	for w := range s.watches {
		if w.cpu && w.root == 0 {
			byContainer[w.container] = w
		}
	}
	if len(byContainer) == 0 {
		return
	}
	for _, p := range list {
		if p.parent != s.engine {
			continue
		}
		cmdline, err := proc.read(p.pid, "cmdline")
		if err != nil {
			continue
		}
		for argument := range bytes.SplitSeq(cmdline, []byte{0}) {
			if w := byContainer[string(argument)]; w != nil {
				w.root = p.pid
			}
		}
	}
}

// owners says to which watch each process belongs, as far as it does to any.
func (s *Sampler) owners(list []process) map[int]*Watch {
	owners := make(map[int]*Watch, len(list))
	for w := range s.watches {
		if w.root != 0 {
			owners[w.root] = w
		}
	}
	parents := make(map[int]int, len(list))
	for _, p := range list {
		parents[p.pid] = p.parent
	}
	for _, p := range list {
		// Up to somebody who is known, then the same way again. A snapshot that is
		// not taken at once can have a cycle, so no further than there are processes.
		top := p.pid
		for range list {
			if _, known := owners[top]; known || top == 0 {
				break
			}
			top = parents[top]
		}
		owner := owners[top]
		for pid := p.pid; pid != top; pid = parents[pid] {
			owners[pid] = owner
		}
	}
	return owners
}

// charge adds what the process has used, and returns how it was seen.
func (s *Sampler) charge(proc *procfs, w *Watch, p process, since time.Duration) sighting {
	seen, again := w.seen[p.pid]
	if again = again && seen.started == p.started; !again {
		seen = sighting{started: p.started}
	}
	used := 0.0
	switch {
	case again:
		used = float64(p.ticks-min(seen.ticks, p.ticks)) / ticksPerSecond
	case p.running:
		used = since.Seconds() * proc.share(p.pid)
	}
	seen.ticks = p.ticks
	if used == 0 {
		return seen
	}
	// A process executes other programs. One that is about to end has none.
	if exe := proc.executable(p.pid); exe != "" && (exe != seen.exe || p.comm != seen.comm) {
		if found, whole := s.identify(proc, w, p, exe); whole {
			seen.exe, seen.comm, seen.program = exe, p.comm, found
		}
	}
	if seen.program.name != "" {
		w.add(seen.program, used)
	}
	return seen
}

// identify names a program: by its path if QEMU runs it, or if it is a tool that was
// executed by its path, and by its own name otherwise. A container's first process has
// none while it is still the runtime's own. It reports false if the process executes
// another program meanwhile, as what was read is then of both.
func (s *Sampler) identify(proc *procfs, w *Watch, p process, exe string) (program, bool) {
	found := program{emulated: s.emulator(exe)}
	cmdline, err := proc.read(p.pid, "cmdline")
	switch {
	case err != nil || len(cmdline) == 0: // it has none while it is being replaced
		return program{}, false
	case found.emulated:
		found.name = guestPath(cmdline)
	case p.parent == w.root && isSetup(cmdline, w.container):
		return program{}, proc.executable(p.pid) == exe
	case strings.HasPrefix(exe, dispatch.Dir+"/"):
		argument, _, _ := bytes.Cut(cmdline, []byte{0})
		found.name = string(argument)
	}
	if !strings.HasPrefix(found.name, "/") {
		comm, _ := proc.read(p.pid, "comm") // later than p.comm
		found.name = strings.TrimSuffix(string(comm), "\n")
	}
	found.name = printable(found.name)
	return found, proc.executable(p.pid) == exe
}

// isSetup reports whether a command line is the runtime's: its own, "runc run" with the
// container's name, until what it has forked executes "runc init", and that executes the
// step's program when all is ready.
func isSetup(cmdline []byte, container string) bool {
	return bytes.HasSuffix(cmdline, []byte("\x00init\x00")) && bytes.Count(cmdline, []byte{0}) == 2 ||
		bytes.Contains(cmdline, []byte("\x00"+container+"\x00"))
}

// maxPrograms bounds what is remembered of a step.
const maxPrograms = 20_000

// maxName bounds what a program can make of its name.
const maxName = 256

// printable keeps the end of a name, without what a terminal takes for orders.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(name[max(0, len(name)-maxName):], "?"))
}

// add charges a program. A step that makes up more names than there are programs
// gets a sum for the rest.
func (w *Watch) add(p program, seconds float64) {
	if _, known := w.seconds[p]; !known && len(w.seconds) >= maxPrograms {
		p.name = ""
	}
	w.seconds[p] += seconds
}

// Rows returns what a watch has seen, once it is stopped.
func (w *Watch) Rows() []dispatch.CPU {
	var rows []dispatch.CPU
	for p, seconds := range w.seconds {
		rows = append(rows, dispatch.CPU{Name: p.name, Emulated: p.emulated, Seconds: seconds})
	}
	return rows
}

// isEmulator reports whether an executable is one of the interpreters, or by its
// name a QEMU: the host's handlers may have been registered under another path.
func isEmulator(interpreters []string) func(executable string) bool {
	return func(executable string) bool {
		return slices.Contains(interpreters, executable) || strings.HasPrefix(path.Base(executable), "qemu-")
	}
}
