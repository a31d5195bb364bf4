package toolbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// BoxName is the file that describes a toolbox, at its root.
const BoxName = "box.json"

// format is the version of what a toolbox looks like.
const format = 1

// What a toolbox has below its slot.
const (
	loaderName = "ld.so"
	pluginDir  = "bfd"
	pluginName = "liblto_plugin.so"

	root = dispatch.Dir
)

// What a toolbox may have. More is damage or hostile: a real one has some 150
// files and 140 MB.
const (
	maxBox   = 4 << 20
	maxFiles = 20_000
	maxSize  = 4 << 30
)

// Class says how far the tools of a class are trusted.
type Class string

// The classes of the policy.
const (
	// Proven tools write the same bytes as the target's own.
	Proven Class = "proven"
	// OptIn tools are known to, as long as the step keeps to rules that nobody can
	// check for it.
	OptIn Class = "optin"
	// Never is what has to stay emulated; no toolbox has one.
	Never Class = "never"
)

// Kind says what a toolbox is made from.
type Kind string

// The kinds of toolboxes.
const (
	Base    Kind = "base"    // packages of Debian and Ubuntu that an image brings
	Install Kind = "install" // compilers of their archives, with the libraries of an image
	Debian  Kind = "debian"  // packages of their archives, and what an image brings
	Go      Kind = "go"      // the tool directory of a Go installation
)

// isOfArchive reports whether packages of a toolbox are those that an archive has.
func (k Kind) isOfArchive() bool { return k == Debian || k == Install }

// Box is what a toolbox says of itself in its box.json. It lists every file, so its
// digest is the digest of the whole toolbox.
type Box struct {
	Format  int       `json:"format"`
	Kind    Kind      `json:"kind"`
	Suite   string    `json:"suite"` // "trixie", "noble", "go1.26.8"
	Arch    string    `json:"arch"`  // of the programs it replaces, as Go calls it
	Host    string    `json:"host"`  // of its own programs
	Slot    string    `json:"slot"`  // one character: the directory that its programs are bound to
	Policy  string    `json:"policy"`
	OptIn   bool      `json:"opt_in,omitempty"` // made with the tools that must be asked for, too
	Tools   []Tool    `json:"tools"`
	Refused []Refusal `json:"refused,omitempty"`
	// Packages are those of the target that the tools stand for or need libraries of,
	// by name, with their versions.
	Packages map[string]string `json:"packages,omitempty"`
	Files    []File            `json:"files"`
}

// Tool is a native program and the one it stands for.
type Tool struct {
	BuildID string   `json:"build_id"` // of the program it stands for
	Path    string   `json:"path"`     // where that program is installed
	Names   []string `json:"names"`    // that it is executed by
	Class   Class    `json:"class"`
	Package string   `json:"package"` // that the program comes from
	Version string   `json:"version"` // of its source
	File    string   `json:"file"`    // the native program, below the slot
	Needs   []string `json:"needs"`   // further files that it loads, below the slot
	Plugin  string   `json:"plugin,omitempty"`
	Closure []Need   `json:"closure,omitempty"`
	// Other is set in a view for a second tool of a program, with another closure.
	Other  bool     `json:"other,omitempty"`
	Limits []string `json:"limits,omitempty"` // of a view: today's policy says them
}

// Need is a library that a root file system must have for a tool to stand in.
type Need struct {
	BuildID string `json:"build_id"`
	Path    string `json:"path"`
}

// Refusal says why a tool or package is not in a toolbox.
type Refusal struct {
	Package string `json:"package"`
	Path    string `json:"path,omitempty"`   // of the tool, empty if it is the whole package
	Target  string `json:"target,omitempty"` // source and version there
	Native  string `json:"native,omitempty"` // source and version here
	Reason  string `json:"reason"`
}

// File is a file or a link of a toolbox.
type File struct {
	Path   string      `json:"path"`
	Mode   fs.FileMode `json:"mode"`
	Size   int64       `json:"size,omitempty"`
	SHA256 string      `json:"sha256,omitempty"`
}

// encode returns the box.json, the same for the same toolbox.
func (b *Box) encode() ([]byte, error) {
	b.sort()
	text, err := json.MarshalIndent(b, "", " ")
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", BoxName, err)
	}
	return append(text, '\n'), nil
}

func (b *Box) sort() {
	slices.SortFunc(b.Tools, func(x, y Tool) int {
		return strings.Compare(x.BuildID+"\x00"+x.Path, y.BuildID+"\x00"+y.Path)
	})
	slices.SortFunc(b.Refused, func(x, y Refusal) int {
		return strings.Compare(x.Package+"\x00"+x.Path, y.Package+"\x00"+y.Path)
	})
	b.Refused = slices.Compact(b.Refused)
	slices.SortFunc(b.Files, func(x, y File) int { return strings.Compare(x.Path, y.Path) })
}

// Size is how many bytes the files of a toolbox have.
func (b *Box) Size() int64 {
	var size int64
	for _, f := range b.Files {
		size += f.Size
	}
	return size
}

// digestOf names a toolbox by its box.json.
func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// ParseBox reads a box.json that comes from elsewhere. What it returns is safe to
// make files from: every path is below the slot, every name is one of a file.
func ParseBox(text []byte) (*Box, error) {
	if len(text) > maxBox {
		return nil, &Error{Op: "reading " + BoxName, Err: fmt.Errorf("%w: it has more than %d bytes", ErrDamaged, maxBox)}
	}
	box := new(Box)
	if err := json.Unmarshal(text, box); err != nil {
		return nil, &Error{Op: "reading " + BoxName, Err: fmt.Errorf("%w: %w", ErrDamaged, err)}
	}
	if err := box.check(); err != nil {
		return nil, &Error{Op: "reading " + BoxName, Err: err}
	}
	return box, nil
}

// check holds a box to the rules that files can be made by.
func (b *Box) check() error {
	if b.Format != format {
		return fmt.Errorf("%w: format %d, where this mabuild knows %d", ErrFormat, b.Format, format)
	}
	if !isWord(b.Suite) || !isWord(b.Arch) || !isWord(b.Host) || len(b.Slot) != 1 || !isWord(b.Slot) {
		return fmt.Errorf("%w: suite %q, architecture %q on %q, slot %q", ErrDamaged, b.Suite, b.Arch, b.Host, b.Slot)
	}
	if b.Kind != Base && !b.Kind.isOfArchive() && b.Kind != Go {
		return fmt.Errorf("%w: kind %q", ErrDamaged, b.Kind)
	}
	files, err := b.checkFiles()
	if err != nil {
		return err
	}
	for _, t := range b.Tools {
		if err := t.check(files); err != nil {
			return err
		}
	}
	return nil
}

func (b *Box) checkFiles() (map[string]bool, error) {
	if len(b.Files) > maxFiles {
		return nil, fmt.Errorf("%w: it has %d files", ErrDamaged, len(b.Files))
	}
	var size int64
	files := make(map[string]bool, len(b.Files))
	for _, f := range b.Files {
		if !isInside(f.Path) || !strings.HasPrefix(f.Path, b.Slot+"/") || files[f.Path] {
			return nil, fmt.Errorf("%w: a file %q", ErrDamaged, f.Path)
		}
		if f.Mode != 0o644 && f.Mode != 0o755 || f.Size < 0 || !isHex(f.SHA256, sha256.Size) {
			return nil, fmt.Errorf("%w: file %q of mode %o, %d bytes and sha256 %q", ErrDamaged, f.Path, f.Mode, f.Size, f.SHA256)
		}
		if size += f.Size; size > maxSize || f.Size > maxSize {
			return nil, fmt.Errorf("%w: it has more than %d bytes", ErrDamaged, int64(maxSize))
		}
		files[f.Path] = true
	}
	return files, nil
}

func (t *Tool) check(files map[string]bool) error {
	if len(t.BuildID) < 16 || !isHex(t.BuildID, len(t.BuildID)/2) || len(t.BuildID) > 64 {
		return fmt.Errorf("%w: a tool for build-id %q", ErrDamaged, t.BuildID)
	}
	if t.Class != Proven && t.Class != OptIn {
		return fmt.Errorf("%w: tool %q has class %q", ErrDamaged, t.Path, t.Class)
	}
	for _, name := range t.Names {
		if !isName(name) {
			return fmt.Errorf("%w: tool %q has a name %q", ErrDamaged, t.Path, name)
		}
	}
	needs := append([]string{t.File}, t.Needs...)
	if t.Plugin != "" {
		needs = append(needs, t.Plugin)
	}
	for _, file := range needs {
		if !files[file] {
			return fmt.Errorf("%w: tool %q needs %q, which is not there", ErrDamaged, t.Path, file)
		}
	}
	size := 0
	for _, need := range t.Closure {
		size += len(need.BuildID) + len(need.Path) + 2
		if !isHex(need.BuildID, len(need.BuildID)/2) || !path.IsAbs(need.Path) || path.Clean(need.Path) != need.Path || strings.ContainsAny(need.Path, "\n\x00") {
			return fmt.Errorf("%w: tool %q needs build-id %q at %q", ErrDamaged, t.Path, need.BuildID, need.Path)
		}
	}
	if size > dispatch.MaxClosure {
		return fmt.Errorf("%w: tool %q needs more libraries than the stub reads", ErrDamaged, t.Path)
	}
	return nil
}

// isInside reports whether a path stays below where it starts.
func isInside(name string) bool {
	return fs.ValidPath(name) && name != "." && !strings.ContainsAny(name, "\x00\n\\")
}

// isName reports whether a name can be a file's, and none that the view or the stub
// gives a meaning.
func isName(name string) bool {
	return isInside(name) && !strings.Contains(name, "/") && name[0] != '.' && len(name) < 80
}

// isWord reports whether a text is a plain word: it becomes a part of file names.
func isWord(text string) bool {
	for _, c := range []byte(text) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return text != "" && text[0] != '.' && len(text) < 80
}

// isHex reports whether a text is so many bytes in lower-case hexadecimal.
func isHex(text string, size int) bool {
	if len(text) != 2*size || text == "" {
		return false
	}
	for _, c := range []byte(text) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
