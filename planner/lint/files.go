package lint

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// The bounds of what is read of a context, whatever the Dockerfile says.
const (
	maxEntries  = 20_000    // names in directories
	maxOpened   = 2_000     // files
	maxMatches  = 300_000   // comparisons with the ignore file
	maxPatterns = 1_000     // lines of the ignore file
	maxIgnore   = 256 << 10 // size of the ignore file
)

// contextFiles reads the build context, within bounds. What is beyond them is
// taken to be fine.
type contextFiles struct {
	fsys    fs.FS
	ignored *patternmatcher.PatternMatcher
	entries int // left
	opened  int // left
	known   map[string][]contextFile
	arches  map[string]string
}

// contextFile is a program in the context.
type contextFile struct {
	name   string
	arch   string
	inTree bool // below a directory that is copied as a whole
}

// newContextFiles returns nil if it cannot be known which files are ignored.
func newContextFiles(opts Options) *contextFiles {
	text := opts.Ignore
	if text == nil {
		file, err := opts.Context.Open(".dockerignore")
		if err == nil {
			text, err = io.ReadAll(io.LimitReader(file, maxIgnore+1))
			_ = file.Close()
			if err != nil {
				return nil
			}
		}
	}
	if len(text) > maxIgnore {
		return nil
	}
	patterns, err := ignorefile.ReadAll(bytes.NewReader(text))
	if err != nil || len(patterns) > maxPatterns {
		return nil
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return nil
	}
	entries := min(maxEntries, maxMatches/max(1, len(patterns)))
	return &contextFiles{
		fsys: opts.Context, ignored: matcher, entries: entries, opened: maxOpened,
		known: make(map[string][]contextFile), arches: make(map[string]string),
	}
}

// match returns the programs that a source of COPY means.
func (c *contextFiles) match(source string) []contextFile {
	source = strings.TrimPrefix(path.Clean("/"+source), "/")
	if source == "" {
		source = "."
	}
	if found, ok := c.known[source]; ok {
		return found
	}
	var found []contextFile
	names := []string{source}
	if strings.ContainsAny(source, `*?[\`) {
		names, _ = fs.Glob(bounded{c}, source)
	}
	for _, name := range names {
		info, err := fs.Lstat(c.fsys, name)
		switch {
		case err != nil:
		case info.IsDir():
			c.walk(name, &found)
		case info.Mode().IsRegular():
			c.add(name, false, &found)
		}
	}
	c.known[source] = found
	return found
}

// walk looks at a directory that is copied as a whole.
func (c *contextFiles) walk(dir string, found *[]contextFile) {
	if c.entries <= 0 {
		return
	}
	entries, err := fs.ReadDir(c.fsys, dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if c.entries--; c.entries < 0 {
			return
		}
		name := path.Join(dir, entry.Name())
		switch {
		case entry.IsDir():
			if !c.ignored.Exclusions() && c.isIgnored(name) {
				continue
			}
			c.walk(name, found)
		case entry.Type().IsRegular():
			c.add(name, true, found)
		}
	}
}

// add looks at one file.
func (c *contextFiles) add(name string, inTree bool, found *[]contextFile) {
	if isData(name) || c.isIgnored(name) {
		return
	}
	arch, ok := c.arches[name]
	if !ok {
		if c.opened--; c.opened < 0 {
			return
		}
		arch = programArch(readHeader(c.fsys, name))
		c.arches[name] = arch
	}
	if arch != "" {
		*found = append(*found, contextFile{name: name, arch: arch, inTree: inTree})
	}
}

func (c *contextFiles) isIgnored(name string) bool {
	ignored, err := c.ignored.MatchesOrParentMatches(name)
	return ignored || err != nil
}

// bounded is the context with a bound on what is listed.
type bounded struct{ *contextFiles }

func (b bounded) Open(name string) (fs.File, error) { return b.fsys.Open(name) }

func (b bounded) ReadDir(name string) ([]fs.DirEntry, error) {
	if b.entries <= 0 {
		return nil, fs.ErrPermission
	}
	entries, err := fs.ReadDir(b.fsys, name)
	b.entries -= len(entries)
	return entries, err
}

func (b bounded) Stat(name string) (fs.FileInfo, error) { return fs.Lstat(b.fsys, name) }
