package emulation

import (
	"debug/elf"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Kind is the sort of a handler's interpreter.
type Kind string

// The kinds of interpreters. Only handlers of QEMU are judged.
const (
	QEMU    Kind = "qemu"
	Rosetta Kind = "rosetta" // Apple's translator, in virtual machines on macOS
	Other   Kind = "other"   // Java, Python, Wine, Windows' own programs under WSL …
)

// Level says how much a verdict matters.
type Level int

// Levels from good to bad.
const (
	// OK is the level of a handler without verdicts.
	OK Level = iota
	// Note is something to know.
	Note
	// Warning is something that some programs will fail by.
	Warning
	// Broken is a handler that runs nothing in containers, or not reliably.
	Broken
)

// String returns the level in lower case.
func (l Level) String() string {
	return [...]string{"ok", "note", "warning", "broken"}[l]
}

// MarshalText makes levels words in JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Verdict is one thing that can be said against a handler.
type Verdict struct {
	// Code names the verdict for programs; the package documentation lists them.
	Code  string `json:"code"`
	Level Level  `json:"level"`
	// Text says what it means for builds, Hint what to do about it.
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

// Interpreter is what is known about an interpreter's file. The zero value
// means that nothing is.
type Interpreter struct {
	// Missing is set if there is no such file.
	Missing bool
	// Machine is what it is a program for; EM_NONE if it is not an ELF program.
	Machine elf.Machine
	// Dynamic is set if it needs a dynamic linker, or another interpreter.
	Dynamic bool
	// Version is what it says when it is asked; Failure is why it did not say.
	Version Version
	Failure error
}

// Facts is what [Judge] has to know beside the handlers. What is missing from
// it is not judged.
type Facts struct {
	// Kernel is the kernel's release, as uname -r prints it.
	Kernel string
	// Disabled is set if the table is switched off as a whole.
	Disabled bool
	// Native are the platforms that the machine runs itself.
	Native []ocispec.Platform
	// Interpreters are the interpreters by their paths.
	Interpreters map[string]Interpreter
	// Running has the versions of the QEMUs that handlers really start, by the
	// name of the handler: with the flag F these may be others than the files at
	// their paths.
	Running map[string]Version
}

// Judgement is what [Judge] thinks of a handler.
type Judgement struct {
	Handler Handler
	Kind    Kind
	// Arch is the architecture whose programs the handler takes. It is zero for
	// those that are not in [Arches].
	Arch Arch
	// Version is that of the QEMU that runs the programs; zero if not known.
	Version Version
	// Level is the highest of the verdicts'.
	Level    Level
	Verdicts []Verdict
}

// Judge says what is wrong with handlers, as [Table.Handlers] returns them: the
// flags they lack, interpreters that are gone or wrong, and what the package
// documentation lists. It touches nothing. The judgements are in the order of
// the handlers. Handlers that are not QEMU's are in the result without verdicts.
func Judge(handlers []Handler, facts Facts) []Judgement {
	judgements := make([]Judgement, 0, len(handlers))
	for _, h := range handlers {
		j := Judgement{Handler: h, Kind: KindOf(h)}
		if arch, ok := archOf(h); ok {
			j.Arch = arch
		}
		if j.Kind == QEMU {
			j.judge(handlers, facts)
		}
		judgements = append(judgements, j)
	}
	return judgements
}

// KindOf tells QEMU and Rosetta from other interpreters, by their usual names.
func KindOf(h Handler) Kind {
	file := path.Base(h.Interpreter)
	switch {
	case strings.Contains(strings.ToLower(h.Name+h.Interpreter), "rosetta"):
		return Rosetta
	case strings.HasPrefix(file, "qemu-") || strings.HasPrefix(h.Name, "qemu-") || handlesArgv0Itself(h.Interpreter):
		return QEMU
	default:
		return Other
	}
}

func archOf(h Handler) (Arch, bool) {
	arches := Arches()
	at := slices.IndexFunc(arches, func(a Arch) bool { return h.Matches(a.Magic) })
	if at < 0 {
		return Arch{}, false
	}
	return arches[at], true
}

// handlesArgv0Itself reports whether a file is one of Debian's links to QEMU,
// by whose name it knows that its handler has the flag P.
func handlesArgv0Itself(interpreter string) bool {
	return strings.HasSuffix(interpreter, "-binfmt-P")
}

// emulates returns QEMU's name of the architecture that it emulates, by what it
// says, or else by its file's name; "" if neither helps.
func emulates(interpreter string, version Version) string {
	if version.Arch != "" {
		return version.Arch
	}
	name := strings.TrimSuffix(path.Base(interpreter), "-binfmt-P")
	name, ok := strings.CutPrefix(name, "qemu-")
	if !ok && !handlesArgv0Itself(interpreter) {
		return ""
	}
	return strings.TrimSuffix(name, "-static")
}

func (j *Judgement) judge(handlers []Handler, facts Facts) {
	file := facts.Interpreters[j.Handler.Interpreter]
	running, known := facts.Running[j.Handler.Name]
	if j.Version = file.Version; known {
		j.Version = running
	}
	j.judgeSwitches(facts)
	j.judgeInterpreter(file, facts)
	j.judgeFlags(facts)
	if known && file.Version.Major != 0 && running.full() != file.Version.full() {
		j.add(Note, "old-interpreter",
			fmt.Sprintf("it still runs QEMU %s, its file is %s now", running, file.Version), hintReplace)
	}
	for _, other := range handlers {
		if other.Name != j.Handler.Name && other.Enabled && j.Handler.Enabled && j.Arch.Name != "" && other.Matches(j.Arch.Magic) {
			j.add(Note, "shared", fmt.Sprintf("%q takes the same programs; the one registered last gets them", other.Name), "")
		}
	}
}

func (j *Judgement) judgeSwitches(facts Facts) {
	if facts.Disabled {
		j.add(Broken, "table-disabled", "all handlers are switched off",
			"run `echo 1 | sudo tee "+DefaultDir+"/status`")
	}
	if !j.Handler.Enabled {
		j.add(Broken, "disabled", "it is switched off",
			"run `echo 1 | sudo tee "+path.Join(DefaultDir, j.Handler.Name)+"`")
	}
}

const (
	hintReplace   = "run `mabuild emulation install --replace` as root"
	hintReinstall = "reinstall QEMU: run `apt-get install --reinstall qemu-user-static`"
)

func (j *Judgement) judgeInterpreter(file Interpreter, facts Facts) {
	h := j.Handler
	wanted := j.Arch.Name
	if name, ok := strings.CutPrefix(h.Name, "qemu-"); ok && wanted == "" {
		wanted = name
	}
	if have := emulates(h.Interpreter, j.Version); have != "" && wanted != "" && have != wanted {
		j.add(Broken, "wrong-arch", fmt.Sprintf("it takes programs for %s, its QEMU emulates %s", wanted, have), hintReplace)
	}
	switch {
	case file.Missing && h.Has('F'):
		j.add(Note, "interpreter-gone", "its interpreter is not on disk: it runs the file that was opened when it was registered, until it is removed", "")
	case file.Missing:
		j.add(Broken, "interpreter-gone", "its interpreter is gone, nothing runs", hintReinstall)
	case runsNowhere(file.Machine, facts.Native):
		j.add(Broken, "wrong-host", fmt.Sprintf("its interpreter is a program for %s, which this machine does not run", file.Machine), hintReinstall)
	case file.Failure != nil:
		j.add(Broken, "interpreter-fails", "its interpreter does not run: "+file.Failure.Error(), hintReinstall)
	case file.Dynamic:
		j.add(Broken, "interpreter-dynamic", "its interpreter is linked dynamically and finds no libraries in containers", "install a static QEMU: run `apt-get install qemu-user-static`")
	}
	if !j.Arch.isAmong(facts.Native) {
		return
	}
	remove := "remove it: run `echo -1 | sudo tee " + path.Join(DefaultDir, h.Name) + "`"
	if j.Arch.Machine == file.Machine {
		j.add(Broken, "native-arch", "it takes its own interpreter: programs of this machine fail with ELOOP", remove)
		return
	}
	j.add(Warning, "native-arch", "this machine runs "+platforms.Format(j.Arch.Platform)+" itself, and faster", remove)
}

// runsNowhere reports whether programs for the machine are none for any of the
// native platforms. Where one of those is not in [Arches] nobody can say.
func runsNowhere(machine elf.Machine, native []ocispec.Platform) bool {
	known := slices.DeleteFunc(Arches(), func(a Arch) bool { return !a.isAmong(native) })
	return machine != elf.EM_NONE && len(known) > 0 &&
		!slices.ContainsFunc(known, func(a Arch) bool { return a.Machine == machine })
}

func (j *Judgement) judgeFlags(facts Facts) {
	h := j.Handler
	if !h.Has('F') {
		j.add(Broken, "no-F", "no F: broken in containers, which do not have its interpreter", hintReplace)
	}
	if !h.Has('C') {
		j.add(Warning, "no-C", "no C: sudo, su and ping fail for users other than root", hintReplace)
	}
	asked := j.Version.Major != 0
	switch understood := preservesArgv0(facts.Kernel, j.Version) || handlesArgv0Itself(h.Interpreter); {
	case !h.Has('P') && asked && !understood:
		j.add(Warning, "no-P", "no P: programs that look at their name break (busybox, login shells); this QEMU or kernel cannot do better",
			"install QEMU 6.0 or later on Linux 5.12 or later")
	case !h.Has('P'):
		j.add(Warning, "no-P", "no P: programs that look at their name break (busybox, login shells)", hintReplace)
	case asked && !understood:
		j.add(Broken, "argv0-shifted", fmt.Sprintf("P needs QEMU 6.0 and Linux 5.12, these are %s and %s: programs get their name as an argument", j.Version, facts.Kernel), hintReplace)
	}
}

func (j *Judgement) add(level Level, code, text, hint string) {
	j.Level = max(j.Level, level)
	j.Verdicts = append(j.Verdicts, Verdict{Code: code, Level: level, Text: text, Hint: hint})
}

// full tells builds of one release apart.
func (v Version) full() string { return v.String() + " " + v.Vendor }
