package host

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/mabuild/mabuild/emulation"
)

// The owners that can be told.
const (
	OwnerMabuild       = "mabuild"
	OwnerSystemd       = "systemd"
	OwnerBinfmtSupport = "binfmt-support"
	OwnerTonistiigi    = "tonistiigi/binfmt"
	OwnerMultiarch     = "multiarch/qemu-user-static"
	OwnerUnknown       = "unknown"
)

// Owner is who registered a handler, as far as that can be told: the kernel does
// not know.
type Owner struct {
	Name string `json:"name"`
	// Source is the file that the registration comes from, if there is one.
	Source string `json:"source,omitempty"`
}

// Persistent reports whether the owner registers the handler again at boot.
func (o Owner) Persistent() bool {
	return o.Name == OwnerSystemd || o.Name == OwnerBinfmtSupport ||
		o.Name == OwnerMabuild && filepath.Ext(o.Source) == ".conf"
}

// Sources are the places where registrations come from. The zero value stands
// for the system's.
type Sources struct {
	// Systemd are the directories of binfmt.d(5), the most important first.
	Systemd []string
	// Support is binfmt-support's list of what it registers, Offered is what
	// packages offer to it. Where binfmt-support is not installed, there are only
	// offers.
	Support, Offered string
}

func (s Sources) fill() Sources {
	if s.Systemd == nil {
		s.Systemd = []string{DefaultConfigDir, "/run/binfmt.d", "/usr/local/lib/binfmt.d", "/usr/lib/binfmt.d"}
	}
	if s.Support == "" {
		s.Support = "/var/lib/binfmts"
	}
	if s.Offered == "" {
		s.Offered = "/usr/share/binfmts"
	}
	return s
}

// rule is a registration that a source has.
type rule struct {
	handler emulation.Handler
	owner   Owner
}

// origins is what is known about registrations that are to be.
type origins struct {
	support string // where binfmt-support lists what it registers
	state   state
	// rules by handler names, the most important first.
	rules map[string][]rule
	// files are the files of systemd-binfmt that count, by the names of the
	// handlers in them.
	files map[string][]string
}

// readOrigins reads the sources. What is missing or unreadable there is as good
// as not registered.
func readOrigins(sources Sources, s state) origins {
	sources = sources.fill()
	o := origins{support: sources.Support, state: s, rules: make(map[string][]rule), files: make(map[string][]string)}
	o.readSupport(sources.Support, parseAdminFormat)
	seen := make(map[string]bool) // a file hides those of the same name in later directories
	for _, dir := range sources.Systemd {
		paths, err := filepath.Glob(filepath.Join(dir, "*.conf"))
		if err != nil {
			continue
		}
		for _, file := range paths {
			if seen[filepath.Base(file)] {
				continue
			}
			seen[filepath.Base(file)] = true
			o.readSystemd(file)
		}
	}
	if _, err := os.Stat(sources.Support); err == nil {
		o.readSupport(sources.Offered, parsePackageFormat)
	}
	return o
}

func (o *origins) readSystemd(file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	owner := Owner{Name: OwnerSystemd, Source: file}
	if bytes.HasPrefix(text, []byte(marker+"\n")) && strings.HasPrefix(filepath.Base(file), "mabuild-") {
		owner.Name = OwnerMabuild
	}
	handlers, _ := ParseConfig(text) // systemd passes over bad lines, too
	for _, h := range handlers {
		o.rules[h.Name] = append(o.rules[h.Name], rule{handler: h, owner: owner})
		o.files[h.Name] = append(o.files[h.Name], file)
	}
}

func (o *origins) readSupport(dir string, parse func([]byte) (interpreter string, ok bool)) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		file := filepath.Join(dir, e.Name())
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if interpreter, ok := parse(text); ok {
			h := emulation.Handler{Name: e.Name(), Interpreter: interpreter}
			o.rules[h.Name] = append(o.rules[h.Name], rule{handler: h, owner: Owner{Name: OwnerBinfmtSupport, Source: file}})
		}
	}
}

// parseAdminFormat reads the interpreter from a file that update-binfmts keeps
// for itself: its sixth line.
func parseAdminFormat(text []byte) (interpreter string, ok bool) {
	scan := bufio.NewScanner(bytes.NewReader(text))
	for range 6 {
		if !scan.Scan() {
			return "", false
		}
	}
	return scan.Text(), path.IsAbs(scan.Text())
}

// parsePackageFormat reads the interpreter from a file that packages have for
// update-binfmts --import: a word, a blank and a value on each line.
func parsePackageFormat(text []byte) (interpreter string, ok bool) {
	for scan := bufio.NewScanner(bytes.NewReader(text)); scan.Scan(); {
		if key, value, _ := strings.Cut(strings.TrimSpace(scan.Text()), " "); key == "interpreter" {
			return strings.TrimSpace(value), path.IsAbs(strings.TrimSpace(value))
		}
	}
	return "", false
}

// supported reports whether binfmt-support registers a handler of that name.
func (o origins) supported(name string) bool {
	for _, r := range o.rules[name] {
		if r.owner.Name == OwnerBinfmtSupport && filepath.Dir(r.owner.Source) == filepath.Clean(o.support) {
			return true
		}
	}
	return false
}

// owner tells who registered the handler.
func (o origins) owner(h emulation.Handler) Owner {
	for _, e := range o.state.Installed {
		if e.Handler.Name == h.Name && h.Difference(e.Handler.Handler) == "" {
			for _, r := range o.rules[h.Name] {
				if r.owner.Name == OwnerMabuild {
					return r.owner
				}
			}
			return Owner{Name: OwnerMabuild}
		}
	}
	for _, r := range o.rules[h.Name] {
		// binfmt-support's files are read for their interpreters only.
		if r.handler.Interpreter != h.Interpreter || r.owner.Name != OwnerBinfmtSupport && h.Difference(r.handler) != "" {
			continue
		}
		return r.owner
	}
	// Both images register a QEMU of their own, which F keeps open.
	if _, err := os.Stat(h.Interpreter); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(h.Name, "qemu-") {
		return Owner{Name: OwnerUnknown}
	}
	switch dir, file := path.Split(h.Interpreter); {
	case dir == "/usr/bin/" && strings.HasPrefix(file, "qemu-") && strings.HasSuffix(file, "-static"):
		return Owner{Name: OwnerMultiarch}
	case dir == "/usr/bin/" && strings.HasPrefix(file, "qemu-"):
		return Owner{Name: OwnerTonistiigi}
	}
	return Owner{Name: OwnerUnknown}
}
